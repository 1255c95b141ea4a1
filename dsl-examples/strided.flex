# Sparse Transformer: the last `stride` keys, and before them every stride-th.
param stride : int = 32
let d = q_idx - kv_idx
mask = d >= 0 && (d < stride || (d - stride) % stride == 0)
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
