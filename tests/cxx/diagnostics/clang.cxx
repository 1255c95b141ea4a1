float score_mod(float score, int q_idx) {
  int n = q_indx + 1;
  return score + sqrt(n, 2);
}
int missing(int a) { if (a > 3) return 1; }
