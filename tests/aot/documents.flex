# A mask that reads buffers.
buffer q_doc  : i32[q_len]
buffer kv_doc : i32[kv_len]
mask = q_doc[q_idx] == kv_doc[kv_idx]
