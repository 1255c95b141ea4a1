# Each head looks back as far as its own window says.
buffer window : i32[num_heads]
mask = q_idx >= kv_idx && q_idx - kv_idx <= window[h]
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
