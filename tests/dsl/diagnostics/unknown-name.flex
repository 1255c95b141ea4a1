let window = 3
score = score + kv_ix * 2
mask = q_idx - kv_idx < windw && lenght[b] > 2 && zzz
