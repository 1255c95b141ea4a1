# A penalty by distance and head, inside a causal window.
param  window : int = 64
buffer slope  : f32[num_heads]
let d = q_idx - kv_idx
score = score - slope[h] * d
mask  = d >= 0 && d < window
