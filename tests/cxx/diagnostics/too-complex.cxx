float score_mod(float score, int q_idx) {
  for (int i = 0; i < 500; ++i)
    for (int j = 0; j < 500; ++j) score += 0.5f * ((q_idx ^ i) + j);
  return score;
}
