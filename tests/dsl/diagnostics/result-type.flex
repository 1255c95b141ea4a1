score = q_idx >= kv_idx
mask = q_idx - kv_idx
