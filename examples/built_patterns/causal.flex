# Every query sees the keys up to its own position.
mask = kv_idx <= q_idx
