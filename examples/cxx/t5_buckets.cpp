// T5's relative positions: exact up to 8, then in logarithmic buckets.
#include <algorithm>
#include <cmath>

int bucket(int distance) {
  const int n = std::abs(distance);
  if (n < 8) return n;
  return std::min(8 + static_cast<int>(std::log2(static_cast<float>(n) / 8.0f) * 2.0f), 15);
}

float score_mod(float score, int h, int q_idx, int kv_idx,
                [[flexjit::extents("num_heads, 32")]] flexjit::Tensor<const float, 2> bias) {
  const int past = kv_idx > q_idx ? 16 : 0;
  return score + bias(h, past + bucket(q_idx - kv_idx));
}
