# Several documents packed into one sequence: attention stays inside a document. Queries and keys have their own id arrays so
# that q_len and kv_len may differ.
buffer q_doc  : i32[q_len]
buffer kv_doc : i32[kv_len]
mask = q_doc[q_idx] == kv_doc[kv_idx]
