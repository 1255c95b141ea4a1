let a = 12abc
let k = 0x
let c = 1.2.3
score = score + 1e+
