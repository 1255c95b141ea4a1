# The first half of the heads is local, the other half sees everything before it.
param window : int = 64
mask = q_idx >= kv_idx && (h < num_heads // 2 ? q_idx - kv_idx <= window : true)
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
