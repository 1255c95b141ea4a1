# Prefix LM where every sequence of the batch has its own prefix length.
buffer prefix : i32[batch_size]
mask = kv_idx < prefix[b] || q_idx >= kv_idx
