let keep_near = q_idx - kv_idx < 64
score = score * 0.5
