# Each head looks back as far as its own window says.
buffer window : i32[num_heads]
mask = q_idx >= kv_idx && q_idx - kv_idx <= window[h]
