# Documents that continue a common prefix document: a query sees its own document causally, and all of the document that its own
# names as its prefix (itself where it has none).
buffer doc    : i32[q_len]
buffer start  : i32[9]
buffer prefix : i32[8]
let d = doc[q_idx]
let p = clamp(prefix[d], 0, 7)
mask = (kv_idx >= start[d] && q_idx >= kv_idx) || (d != p && kv_idx >= start[p] && kv_idx < start[p + 1])
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
