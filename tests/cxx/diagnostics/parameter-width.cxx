float score_mod(float score, short floor_of) { return score + floor_of; }
bool mask_mod(int q_idx, int floor) { return q_idx > floor; }
