buffer a : f32[num_heads, 16]
buffer n : i32[kv_len, 16]
score = score + dot(a[h, :], 3) + dot(a[h, 1], a[h, :]) + dot(a[h, :], n[kv_idx, :])
