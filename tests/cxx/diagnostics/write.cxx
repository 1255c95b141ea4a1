float score_mod(float score, const float (&bias)[4]) {
  const int n = 3;
  const_cast<int&>(n) = 4;
  return score;
}
bool mask_mod(int q_idx, int kv_idx, const int* order) { order[q_idx] = 3; return true; }
