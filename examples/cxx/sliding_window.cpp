// The last `window` keys of each query.
bool mask_mod(int q_idx, int kv_idx, int window = 256) {
  const int distance = q_idx - kv_idx;
  return distance >= 0 && distance < window;
}
