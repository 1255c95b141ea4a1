def f(x, y) = x + y
score = exp(score, 2) + min(1) + f(1) + clamp(score, 1) + where(true, 1)
