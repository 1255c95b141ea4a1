# Graphormer: a learned bias for each shortest-path distance between two nodes, chained reads of two buffers.
buffer distance : i32[batch_size, q_len, kv_len]
buffer bias     : f32[num_heads, 8]
score = score + bias[h, clamp(distance[b, q_idx, kv_idx], 0, 7)]
