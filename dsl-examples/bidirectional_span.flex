# Causal (with a window where window > 0), and each query may also see a span of keys, first to last: image tokens inside a text.
param  window : int = 0
buffer span   : i32[q_len, 2]
let d = q_idx - kv_idx
mask = (d >= 0 && (window <= 0 || d < window)) || (kv_idx >= span[q_idx, 0] && kv_idx <= span[q_idx, 1])
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
