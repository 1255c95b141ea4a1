# Llama 4's local layers: causal inside chunks of `chunk` positions, counted from each sequence's left padding.
param  chunk : int = 512
buffer pad   : i32[batch_size]
mask = (q_idx - pad[b]) // chunk == (kv_idx - pad[b]) // chunk && kv_idx <= q_idx
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
