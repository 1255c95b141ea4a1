let a = 0 <= q_idx - kv_idx < 7
let k = q_idx in {1} == true
mask = q_idx == kv_idx != h
