// Keys up to the query's own position.
bool mask_mod(int q_idx, int kv_idx) { return q_idx >= kv_idx; }
