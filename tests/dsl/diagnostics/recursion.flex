def f(n) = n < 2 ? 1 : n * f(n - 1)
score = score * f(3)
