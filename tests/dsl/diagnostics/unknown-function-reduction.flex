mask = any(kv_idx in {1, 2}) || all(q_idx, 3) || sum(h) > 2
