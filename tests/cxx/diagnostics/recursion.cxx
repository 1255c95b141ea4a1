int depth(int n) { return n <= 1 ? 0 : 1 + depth(n / 2); }
float score_mod(float score, int q_idx) { return score + depth(q_idx); }
