# Swin's relative position bias inside the windows of an image in raster order: one learned number for each head and offset.
# 225 = (2 * window - 1)^2.
const  width  : int = 64
const  window : int = 8
buffer bias   : f32[num_heads, 225]
let d_row = (q_idx // width) % window - (kv_idx // width) % window + window - 1
let d_col = q_idx % window - kv_idx % window + window - 1
score = score + bias[h, d_row * (2 * window - 1) + d_col]
mask  = q_idx // width // window == kv_idx // width // window && q_idx % width // window == kv_idx % width // window
