# Generation with sequences padded on the left: the first `pad[b]` keys do not exist. Queries inside the padding see nothing and
# return 0.
buffer pad : i32[batch_size]
mask = kv_idx >= pad[b] && q_idx >= kv_idx
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
