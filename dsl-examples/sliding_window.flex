# Causal with a window of the last `window` keys besides the query's own.
param window : int = 256
mask = q_idx >= kv_idx && q_idx - kv_idx <= window
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
