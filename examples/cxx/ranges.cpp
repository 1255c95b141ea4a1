// Up to four ranges of keys a query, of which `count` are used.
bool mask_mod(int q_idx, int kv_idx, [[flexjit::extents("q_len, 4, 2")]] flexjit::Tensor<const int, 3> ranges, int count = 2) {
  for (int n = 0; n < 4 && n < count; ++n) {
    if (kv_idx >= ranges(q_idx, n, 0) && kv_idx < ranges(q_idx, n, 1)) return true;
  }
  return kv_idx == q_idx;
}
