# One learned number for each head and relative position; row h holds the distances -(kv_len - 1) to q_len - 1.
buffer bias : f32[num_heads, ?]
score = score + bias[h, q_idx - kv_idx + kv_len - 1]
