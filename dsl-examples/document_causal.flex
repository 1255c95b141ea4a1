# Packed documents, causal inside each: the mask of packed pre-training.
buffer q_doc  : i32[q_len]
buffer kv_doc : i32[kv_len]
mask = q_doc[q_idx] == kv_doc[kv_idx] && q_idx >= kv_idx
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
