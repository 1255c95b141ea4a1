float score_mod(float score, int q_idx) {
  int i = 0;
  while (i < q_idx) ++i;
  return score + i;
}
