# A penalty by the logarithm of the distance.
score = score - log1p(abs(q_idx - kv_idx))
