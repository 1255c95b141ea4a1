# Forgetting Transformer: `cumulative` holds running sums of the log forget gates; their difference is the decay between two positions.
buffer q_cumulative  : f32[batch_size, num_heads, q_len]
buffer kv_cumulative : f32[batch_size, num_heads, kv_len]
score = score + q_cumulative[b, h, q_idx] - kv_cumulative[b, h, kv_idx]
mask  = q_idx >= kv_idx
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
