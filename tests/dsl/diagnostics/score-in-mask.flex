let s = score * 2
def f(x) = x + score
mask = score > 0 && s > 1 && f(1) > 0
