float helper(float);
float score_mod(float score) { return helper(score); }
bool mask_mod(int q_idx, const int* a, const int* b) { return (q_idx > 3 ? a : b)[2] > 0; }
