// A band whose width depends on the head, and a slope: read by flexjit_add_patterns() as a text and by the program as its
// reference.
#include <flexjit/mod.h>

inline int width_of(int h) { return h % 2 == 0 ? 5 : 9; }

inline float score_mod(float score, int q_idx, int kv_idx, [[flexjit::extents("num_heads")]] const float* slope, int h) {
  return score - slope[h] * static_cast<float>(std::abs(q_idx - kv_idx));
}

inline bool mask_mod(int h, int q_idx, int kv_idx) {
  const int lag = q_idx - kv_idx;
  return lag >= 0 && lag / 2 < width_of(h);
}
