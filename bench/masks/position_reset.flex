# Packed sequences told apart by their positions alone, which begin anew with each.
buffer pos : i32[q_len]
mask = q_idx >= kv_idx && pos[q_idx] - pos[kv_idx] == q_idx - kv_idx
