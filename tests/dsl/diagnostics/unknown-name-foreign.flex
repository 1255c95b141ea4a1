# Names of FlexAttention, FlashAttention, FlashInfer, xformers, MLX and NumPy.
score = scores + logits + q_head + head_idx + qo_head_idx + kv_head_idx + batch + batch_idx
mask = q_pos >= k_pos && qo_idx >= k_idx && kv_pos < seq_len && seqlen_q <= seqlen_k && num_q_heads > num_key_value_heads && bsz > 0
