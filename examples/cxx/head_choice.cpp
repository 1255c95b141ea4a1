// Heads of three kinds.
bool mask_mod(int h, int q_idx, int kv_idx) {
  switch (h % 3) {
    case 0: return q_idx >= kv_idx;
    case 1: return q_idx / 64 == kv_idx / 64;
    default: return (q_idx - kv_idx) % 4 == 0;
  }
}
