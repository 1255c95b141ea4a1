buffer a : f32[num_heads, 16]
buffer c : f32[kv_len, 8]
buffer d : f32[kv_len, ?]
buffer e : f32[kv_len, 1024]
score = score + dot(a[h, :], c[kv_idx, :]) + dot(a[h, :], d[kv_idx, :]) + dot(e[kv_idx, :], e[kv_idx, :])
