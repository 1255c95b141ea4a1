let a = 1.5 & 2
let k = true | 1
let c = 1 << 2.0
let d = true == 1
let e = true < false
let f = ~1.5
let g = h in {1, 2}
score = score
