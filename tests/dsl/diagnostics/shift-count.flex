score = score + (kv_idx << 32) + (q_idx >> 40) + (h << -1) + (kv_idx >> 31) + (1 << 0)
