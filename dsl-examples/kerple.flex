# KERPLE: a logarithmic penalty with two learned numbers for each head.
buffer r1 : f32[num_heads]
buffer r2 : f32[num_heads]
score = score - r1[h] * log(1.0 + r2[h] * abs(q_idx - kv_idx))
mask  = q_idx >= kv_idx
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
