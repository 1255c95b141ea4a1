buffer slope : f32[num_heads]
buffer t : f32[num_heads, ?, ?]
score = score + slope[h, 1] + t[h][q_idx]
