buffer g : i32[q_len]
let a = h ? 1 : 2
let k = !score
let c = where(1, 2, 3)
mask = g[q_idx] || h && not q_idx
