int window = 128;
bool mask_mod(int q_idx, int kv_idx) { return q_idx - kv_idx < window; }
