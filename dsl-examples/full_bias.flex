# A bias tensor over everything. Bind a view with strides of 0 to broadcast it over batch, heads or rows.
buffer bias : f32[batch_size, num_heads, q_len, kv_len]
score = score + bias[b, h, q_idx, kv_idx]
