# Two fixed keys for everyone, and a window.
param window : int = 32
mask = kv_idx in {0, 1} || abs(q_idx - kv_idx) <= window
