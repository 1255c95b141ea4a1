// A penalty that grows with the distance, by a slope a head.
float score_mod(float score, int h, int q_idx, int kv_idx, [[flexjit::extents("num_heads")]] const float* slope) {
  return score - slope[h] * static_cast<float>(std::abs(q_idx - kv_idx));
}
