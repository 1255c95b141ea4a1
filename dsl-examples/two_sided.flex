# Different slopes for the past and for the future.
buffer past   : f32[num_heads]
buffer future : f32[num_heads]
let d = q_idx - kv_idx
score = score - (d > 0 ? past[h] * d : -future[h] * d)
