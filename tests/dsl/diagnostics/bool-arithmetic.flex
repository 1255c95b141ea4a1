let c = q_idx >= kv_idx
let a = score * (q_idx >= kv_idx)
let k = -c
let d = min(c, 1)
let e = exp(c)
score = score + c
