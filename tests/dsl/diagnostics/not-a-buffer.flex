param w : int = 3
def f(x) = x
score = score + w[0] + h[1] + f[2] + exp[3]
