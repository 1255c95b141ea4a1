float score_mod(float score, float* table, int kv_idx) { return score + table[kv_idx]; }
bool mask_mod(float score, int q_idx) { return q_idx > score; }
