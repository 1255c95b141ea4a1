# Dequantisation: queries and keys were quantised in blocks of rows, each with its own scale.
const  q_block   : int = 64
const  kv_block  : int = 64
buffer q_scale   : f32[batch_size, num_heads, ?]
buffer kv_scale  : f32[batch_size, num_heads, ?]
score = score * q_scale[b, h, q_idx // q_block] * kv_scale[b, h, kv_idx // kv_block]
