// A problem and C++ functions into what linear attention must give, by its definition over all pairs, in long double. It shares
// no code with the library.
#pragma once

#include <functional>
#include <vector>

#include "support/oracle.h"

namespace flexjit::test {

// Of a row of q or k, and of its query head.
using FeatureMap = std::function<std::vector<Real>(const std::vector<Real>& row, std::int32_t h)>;

struct LinearOracle {
  FeatureMap map;
  std::function<bool(const Position&)> mask{};  // null: everything is allowed
  // Of key p.kv_idx; null: 1. A weight of (q_idx, kv_idx) fades by the gates of kv_idx + 1 ... q_idx + diagonal.
  std::function<Real(const Position& p)> gate{};
  std::int32_t diagonal = 0;
  bool normalised = true;
  double eps = 1e-6;
};
std::vector<double> linear_oracle(const Problem& problem, const LinearOracle& of);

// Section 9.2 of the conformance checklist, as it is written: rows of w are those of the matrix.
using Matrix = std::vector<std::vector<Real>>;
FeatureMap elu1_map();
FeatureMap relu_map(double eps);
FeatureMap identity_map();
FeatureMap favor_map(const Matrix& w, double eps);
FeatureMap exp_clamp_map(const Matrix& w, double low, double high);

}  // namespace flexjit::test
