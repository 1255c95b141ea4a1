float score_mod(float score, int h, int kv_idx, const float* bias) {
  const float* row = bias + 64 * h;
  return score + row[kv_idx];
}
