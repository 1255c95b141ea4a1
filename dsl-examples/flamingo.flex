# Cross attention from text to image tokens: the queries first <= q_idx < last of each image see its tokens.
buffer image    : i32[kv_len]
buffer audience : i32[8, 2]
let i = image[kv_idx]
mask = audience[i, 0] <= q_idx && q_idx < audience[i, 1]
