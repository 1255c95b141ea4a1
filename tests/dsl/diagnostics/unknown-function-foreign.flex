score = maximum(score, 0.0) + fabs(score) + tanhf(score) + clip(score, 0, 1) + log10(score) + square(score)
mask = logical_and(q_idx >= kv_idx, isin(h, 3))
