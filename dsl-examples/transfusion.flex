# Text is causal; the patches of one image, which share its id, see each other in both directions. Text has id -1.
buffer q_image  : i32[q_len]
buffer kv_image : i32[kv_len]
mask = q_idx >= kv_idx || (q_image[q_idx] >= 0 && q_image[q_idx] == kv_image[kv_idx])
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
