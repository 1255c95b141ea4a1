buffer slope : f32[num_heads]
score = score + slope[h / 2] + slope[h == 0] + slope[1.0]
