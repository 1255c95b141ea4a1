# Native sparse attention: 16 chosen blocks of 64 keys a query, -1 for none.
buffer sel : i32[q_len, 16]
let blk = kv_idx // 64
mask = kv_idx <= q_idx && blk in {sel[q_idx, 0], sel[q_idx, 1], sel[q_idx, 2], sel[q_idx, 3], sel[q_idx, 4], sel[q_idx, 5], sel[q_idx, 6], sel[q_idx, 7], sel[q_idx, 8], sel[q_idx, 9], sel[q_idx, 10], sel[q_idx, 11], sel[q_idx, 12], sel[q_idx, 13], sel[q_idx, 14], sel[q_idx, 15]}
