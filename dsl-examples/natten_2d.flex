# NATTEN over an image of `height` x `width` tokens in raster order: every query sees kernel x kernel keys; at the border the
# window is shifted inwards, not clipped.
const height : int = 32
const width  : int = 64
const kernel : int = 7
def near(position, other, extent) = abs(clamp(position, kernel // 2, extent - 1 - kernel // 2) - other) <= kernel // 2
mask = near(q_idx // width, kv_idx // width, height) && near(q_idx % width, kv_idx % width, width)
