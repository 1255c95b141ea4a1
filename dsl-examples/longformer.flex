# A symmetric window, and global tokens that see all and are seen by all.
param  window    : int = 64
buffer q_global  : bool[q_len]
buffer kv_global : bool[kv_len]
mask = abs(q_idx - kv_idx) <= window || q_global[q_idx] || kv_global[kv_idx]
