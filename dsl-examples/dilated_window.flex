# Every `dilation`-th key within the window, on both sides.
param window   : int = 256
param dilation : int = 4
let d = abs(q_idx - kv_idx)
mask = d <= window && d % dilation == 0
