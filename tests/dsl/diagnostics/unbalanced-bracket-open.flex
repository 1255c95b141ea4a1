score = (score + slope_of(h

const a : int = 3
mask = q_idx >= kv_idx
