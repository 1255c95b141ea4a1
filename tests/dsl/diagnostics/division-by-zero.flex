const n : int = 4
let a = h // 0
let k = h % (n - 4)
def f(x) = 10 // x
score = score + f(0) + f(1) + 1 / 0 + score // 0
