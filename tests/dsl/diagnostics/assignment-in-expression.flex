mask = q_idx = kv_idx
score = min(score, h = 3)
