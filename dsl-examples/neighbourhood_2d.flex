# Neighbourhood attention with a window that is clipped at the border of the image: fewer keys there.
const width  : int = 64
param radius : int = 3
mask = abs(q_idx // width - kv_idx // width) <= radius && abs(q_idx % width - kv_idx % width) <= radius
