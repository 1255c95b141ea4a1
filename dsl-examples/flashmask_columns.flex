# FlashMask: causal, and for each key an interval of queries [hide_from, hide_to) that do not see it.
buffer hide_from : i32[kv_len]
buffer hide_to   : i32[kv_len]
mask = kv_idx <= q_idx && !(hide_from[kv_idx] <= q_idx && q_idx < hide_to[kv_idx])
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
