# Prefix LM where every sequence of the batch has its own prefix length.
buffer prefix : i32[batch_size]
mask = kv_idx < prefix[b] || q_idx >= kv_idx
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
