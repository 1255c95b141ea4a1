let a = 1 +
let k = * 3
let c = ()
let d = a[]
let e = b in {}
let f = 1 + not true
let g = h ** 2
score =
