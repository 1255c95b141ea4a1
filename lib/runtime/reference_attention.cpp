// out = softmax(pattern(scale * q k^T)) v in fp64, row by row, exactly as it is written down. Shares nothing with the kernel.
#include "runtime/reference_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace flexjit::runtime {

namespace {

constexpr double kMasked = -std::numeric_limits<double>::infinity();

template <typename T>
T* row_of(const plan::TensorArg& tensor, std::int32_t b, std::int32_t h, std::int32_t row) {
  return static_cast<T*>(tensor.data) + b * tensor.stride_batch + h * tensor.stride_head + row * tensor.stride_row;
}

void scaled_scores(const plan::LaunchArg& launch, const ReferenceRow& row, std::int32_t head_dim, std::span<double> scores) {
  const float* q = row_of<const float>(launch.q, row.b, row.h, row.q_idx);
  const std::int32_t kv_head = row.h / (launch.num_heads / launch.num_kv_heads);
  for (std::int32_t kv = 0; kv < launch.kv_len; ++kv) {
    const float* k = row_of<const float>(launch.k, row.b, kv_head, kv);
    double dot = 0;
    for (std::int32_t d = 0; d < head_dim; ++d) dot += static_cast<double>(q[d]) * static_cast<double>(k[d]);
    scores[static_cast<std::size_t>(kv)] = dot * static_cast<double>(launch.scale);
  }
}

// Turns scores into weights that sum to 1 and returns ln sum exp. All masked: weights 0 and -inf. A NaN or +inf score makes
// every weight NaN, as exp(inf - inf) does on paper.
double softmax(std::span<double> scores) {
  double highest = kMasked;
  bool all_masked = true;
  for (double score : scores) {
    highest = std::max(highest, score);
    all_masked = all_masked && score == kMasked;
  }
  if (all_masked) {
    std::ranges::fill(scores, 0.0);
    return kMasked;
  }
  double sum = 0;
  for (double& score : scores) {
    score = std::exp(score - highest);
    sum += score;
  }
  for (double& score : scores) score /= sum;
  return highest + std::log(sum);
}

// A weight of 0 takes no part, so a masked key contributes nothing whatever its value row holds.
void weighted_values(const plan::LaunchArg& launch, const ReferenceRow& row, std::span<const double> weights,
                     std::span<double> sums) {
  std::ranges::fill(sums, 0.0);
  const std::int32_t kv_head = row.h / (launch.num_heads / launch.num_kv_heads);
  for (std::int32_t kv = 0; kv < launch.kv_len; ++kv) {
    const double weight = weights[static_cast<std::size_t>(kv)];
    if (weight == 0) continue;
    const float* v = row_of<const float>(launch.v, row.b, kv_head, kv);
    for (std::size_t d = 0; d < sums.size(); ++d) sums[d] += weight * static_cast<double>(v[d]);
  }
  float* out = row_of<float>(launch.out, row.b, row.h, row.q_idx);
  for (std::size_t d = 0; d < sums.size(); ++d) out[d] = static_cast<float>(sums[d]);
}

}  // namespace

bool reference_attention(const plan::LaunchArg& launch, std::int32_t head_dim, std::int32_t v_head_dim,
                         const ReferencePattern& pattern) {
  std::vector<double> scores(static_cast<std::size_t>(launch.kv_len));
  std::vector<double> sums(static_cast<std::size_t>(v_head_dim));
  ReferenceRow row;
  for (row.b = 0; row.b < launch.batch_size; ++row.b) {
    for (row.h = 0; row.h < launch.num_heads; ++row.h) {
      for (row.q_idx = 0; row.q_idx < launch.q_len; ++row.q_idx) {
        scaled_scores(launch, row, head_dim, scores);
        if (!pattern(row, scores)) return false;
        const double lse = softmax(scores);
        weighted_values(launch, row, scores, sums);
        if (launch.lse.data == nullptr) continue;
        launch.lse.data[row.b * launch.lse.stride_batch + row.h * launch.lse.stride_head + row.q_idx * launch.lse.stride_row] =
            static_cast<float>(lse);
      }
    }
  }
  return true;
}

}  // namespace flexjit::runtime
