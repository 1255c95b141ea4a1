def decay(x) = exp(-x)
score = sofmax(score) + decy(score) + zzz(1)
