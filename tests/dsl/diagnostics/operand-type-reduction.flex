# Bounds are ints.
mask = any(n in 0.0..4 : kv_idx == n) || all(n in 0..true : kv_idx == n)
