// Attention written down directly, unfused, in fp64 or in a low precision: the oracle of the tests of dtypes and flags. It
// shares no code with the library.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "typed_tensors.h"

namespace flexjit::conformance {

struct Position {
  std::int32_t b, h, q_idx, kv_idx;
};

struct NaivePattern {
  std::function<double(double score, const Position&)> score{};  // null: as it is
  std::function<bool(const Position&)> mask{};                   // null: everything is allowed
  std::vector<double> sinks{};                                   // by query head; empty: none
  Weights weights = Weights::kSoftmax;
  std::optional<float> scale{};  // none: 1 / sqrt(head_dim)
};

struct NaiveResult {
  std::vector<double> out, lse, max_scores;
};

// Without `low`: fp64. With it: the scale is folded into K, the result of every operation is rounded to `low`, and sums inside
// a product or a softmax are fp32.
NaiveResult naive_attention(const TypedTensors& tensors, const NaivePattern& pattern, std::optional<DType> low = std::nullopt);

// The largest |a - b|; infinity where one is NaN and the other is not. Equal infinities differ by 0.
double worst_difference(const std::vector<double>& a, const std::vector<double>& b);
std::vector<double> widened(const std::vector<float>& values);

}  // namespace flexjit::conformance
