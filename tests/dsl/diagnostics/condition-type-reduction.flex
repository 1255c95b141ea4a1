mask = any(n in 0..4 : kv_idx - n)
