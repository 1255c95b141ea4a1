let a = 1e39
let k = 1e-60
score = score * 1e999
