# T5: relative positions in buckets, exact when near and logarithmic when far, half of them for each direction.
const  buckets      : int = 32
const  max_distance : int = 128
buffer bias         : f32[32, num_heads]
const  half         : int = buckets // 2
const  exact        : int = half // 2
let d    = kv_idx - q_idx
let n    = abs(d)
let far  = exact + int(log(float(max(n, 1)) / exact) / log(float(max_distance) / exact) * (half - exact))
let base = d > 0 ? half : 0
score = score + bias[base + (n < exact ? n : min(far, half - 1)), h]
