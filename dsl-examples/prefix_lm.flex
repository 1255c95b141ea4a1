# The first `prefix` positions see each other in both directions; the rest is causal.
param prefix : int = 64
mask = kv_idx < prefix || q_idx >= kv_idx
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
