# A query sees the keys up to its own position.
mask = q_idx >= kv_idx
