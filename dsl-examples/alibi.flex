# ALiBi: a penalty that grows with the distance, with a slope for each head.
buffer slope : f32[num_heads]
score = score + slope[h] * (kv_idx - q_idx)
mask  = q_idx >= kv_idx
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
