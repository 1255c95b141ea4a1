# A query sees itself and what came before it. Top-left aligned: with more keys than queries, see causal_bottom_right.
mask = q_idx >= kv_idx
