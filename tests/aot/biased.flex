# Buffers of two ranks, params of every type, with and without a default.
param  window   : int = 40
param  strength : float
param  two_sided : bool = false
buffer slope : f32[num_heads]
buffer table : f32[num_heads, ?]
let d = q_idx + kv_len - q_len - kv_idx
score = score - strength * slope[h] * abs(d) + table[h, kv_idx % 8]
mask  = d < window && (two_sided || d >= 0)
