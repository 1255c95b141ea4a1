score = score
  + 1
mask = q_idx >= kv_idx
  && h == 0
