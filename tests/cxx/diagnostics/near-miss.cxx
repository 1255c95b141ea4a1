bool mask_mod(int q_idx, int k_idx) { return q_idx >= k_idx; }
