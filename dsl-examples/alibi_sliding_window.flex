# Score and mask together: ALiBi inside a causal window.
param  window : int = 256
buffer slope  : f32[num_heads]
let d = q_idx - kv_idx
score = score - slope[h] * d
mask  = d >= 0 && d < window
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
