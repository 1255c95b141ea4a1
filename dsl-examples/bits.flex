# Integer operations on positions: a fixed pseudo-random pattern of biases.
score = score + ((q_idx ^ kv_idx) & 255) * 0.001
