# Ragged batches flattened into one sequence where queries and keys have different lengths: causal by the position inside each.
buffer q_seq    : i32[q_len]
buffer kv_seq   : i32[kv_len]
buffer q_start  : i32[9]
buffer kv_start : i32[9]
let i = q_seq[q_idx]
let j = kv_seq[kv_idx]
mask = i == j && q_idx - q_start[i] >= kv_idx - kv_start[j]
