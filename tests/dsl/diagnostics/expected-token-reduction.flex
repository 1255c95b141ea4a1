mask = any(n in 0 : kv_idx == n)
score = score + sum(n in 0..4, n)
