# `window` keys on both sides: local attention of an encoder.
param window : int = 128
mask = abs(q_idx - kv_idx) <= window
