constexpr int kTable[2] = {1, 2};
int& first(int& a) { return a; }
float score_mod(float score, int q_idx) { (q_idx > 1 ? q_idx : q_idx) = 3; return score + q_idx; }
