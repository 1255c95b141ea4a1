buffer slope : f32[num_heads]
buffer table : f32[num_heads, ?]
score = score + slope * h + table
