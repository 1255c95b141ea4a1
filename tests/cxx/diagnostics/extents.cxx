float score_mod(float score, int h, [[flexjit::extents("num_heads, 4")]] const float* slope) { return score + slope[h]; }
bool mask_mod(int q_idx, std::span<const int> ends) { return q_idx < ends.size(); }
