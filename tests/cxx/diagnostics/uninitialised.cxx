bool mask_mod(int q_idx, int kv_idx) {
  int limit;
  if (q_idx > 3) limit = 5;
  return kv_idx < limit;
}
