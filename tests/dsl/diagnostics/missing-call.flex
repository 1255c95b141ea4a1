def f(x) = x
score = score + exp + f
