mask_mod = q_idx >= kv_idx
score_mod = score * 2
attn_mask = q_idx >= kv_idx
logits = score
return score
bias = 3
