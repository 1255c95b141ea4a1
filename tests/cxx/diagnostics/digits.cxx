float score_mod(float score, int q_idx, int kv_idx) { return score - 0.1 * (q_idx - kv_idx); }
