# Keys behind the end of their sequence are padding.
buffer length : i32[batch_size]
mask = kv_idx < length[b]
