// A problem and a pattern of C++ functions into what attention must give, by the definition, unfused, in long double or in a
// low precision. It shares no code with the library.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "flexjit/spec.h"
#include "support/problem.h"

namespace flexjit::test {

using Real = long double;

struct Position {
  std::int32_t b, h, q_idx, kv_idx;
};

struct OraclePattern {
  std::function<Real(Real score, const Position&)> score{};  // null: as it is; asked of allowed pairs alone
  std::function<bool(const Position&)> mask{};               // null: everything is allowed
  std::function<Real(const Position&)> factor{};             // of a weight, after the softmax; null: 1
  std::vector<double> sinks{};                               // by query head; empty: none
  Weights weights = Weights::kSoftmax;
  std::optional<double> scale{};  // none: 1 / sqrt(head_dim)
};

// In the order of the problem's own outputs. lse and max_scores are NaN with sigmoid weights, as what no run has written.
struct OracleResult {
  std::vector<double> out, lse, max_scores;
};

// A key whose weight is 0 in fp64 takes no part, whatever its value is. With `low`: the scale is folded into K, the result of
// every operation is rounded to `low`, and sums inside a product or a softmax are fp32.
OracleResult oracle(const Problem& problem, const OraclePattern& pattern, std::optional<DType> low = std::nullopt);

}  // namespace flexjit::test
