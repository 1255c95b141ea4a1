# Packed documents by offsets: document i holds the positions [start[i], start[i + 1]). One nested read instead of two id arrays.
buffer doc   : i32[q_len]
buffer start : i32[9]
mask = kv_idx >= start[doc[q_idx]] && q_idx >= kv_idx
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
