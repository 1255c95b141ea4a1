param window int = 3
param
buffer slope : f32
buffer : f32[2]
let 3 = 4
def f(x y) = x
def g(1) = 2
let a = min(1 2)
let k = h ? 1
let c = h not 3
let d = h in 3
let e = (let f 3; 4)
score score
mask * 2
