# ALiBi with the slopes of the paper computed instead of captured: 2^(-8 (h + 1) / heads).
score = score + (kv_idx - q_idx) * exp2(-(h + 1) * 8.0 / num_heads)
mask  = q_idx >= kv_idx
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
