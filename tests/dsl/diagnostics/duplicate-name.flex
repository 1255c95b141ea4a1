param w : int
let w = 3
let w = 4
def f(x, x) = x
let y = (let z = 1; let z = 2; z)
score = score
score = score * 2
