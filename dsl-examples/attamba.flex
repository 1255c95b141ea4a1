# Attamba: the last key of each chunk stands for the chunk, and the nearest keys are seen directly.
param chunk  : int = 8
param window : int = 8
mask = q_idx >= kv_idx && ((kv_idx + 1) % chunk == 0 || q_idx - kv_idx < window)
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
