# A window, and 24 of every 1024 keys.
mask = q_idx >= kv_idx && ((q_idx - kv_idx) < 256 || kv_idx % 1024 >= 1000)
