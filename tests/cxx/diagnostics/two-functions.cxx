float score_mod(float score) { return score; }
float score_mod(float score, int q_idx) { return score + q_idx; }
