let v = kv_idx + 1
feature = x * q_idx
gate = score > 0.0 ? 1.0 : 0.5
