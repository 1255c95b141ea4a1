score = score $ 2
mask = kv_idx ≤ q_idx
let a = h . b
