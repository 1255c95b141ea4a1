# Gemma 2: scores squeezed smoothly into (-cap, cap).
const cap : float = 30.0
score = cap * tanh(score / cap)
mask  = q_idx >= kv_idx
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
