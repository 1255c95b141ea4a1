# Causal where the queries are the last q_len of kv_len positions, as FlashAttention aligns it.
mask = q_idx + kv_len - q_len >= kv_idx
