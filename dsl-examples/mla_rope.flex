# Multi-head latent attention: the rotary part of queries and keys is a second, small dot product, shared by the heads of a group.
param  weight : float = 0.125
buffer q_rope  : f32[batch_size, num_heads, q_len, 16]
buffer kv_rope : f32[batch_size, num_kv_heads, kv_len, 16]
score = score + weight * dot(q_rope[b, h, q_idx, :], kv_rope[b, kv_head, kv_idx, :])
mask  = q_idx >= kv_idx
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
