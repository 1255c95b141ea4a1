buffer t : f32[num_heads, 4]
score = score + t[h, :]
