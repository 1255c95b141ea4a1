let a = 1 2
let k = 1 if h == 0 else 2
let c = (score)[3]
let d = 2 !h
let e = min(1, 2)(3)
let f = h : 2
score = score score
