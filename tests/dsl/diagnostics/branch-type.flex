let a = h == 0 ? true : 1
score = where(h == 0, score, false)
