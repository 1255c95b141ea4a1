// What a run wrote against what it should have, with a tolerance, into an AssertionResult that names the problem, its seed and
// the place of the worst element. Equal infinities agree; NaN agrees with NaN only.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "support/oracle.h"

namespace flexjit::test {

inline std::vector<double> widened(const std::vector<float>& values) { return {values.begin(), values.end()}; }

// |actual - expected| <= absolute + relative * |expected|.
struct Bound {
  double absolute = 0;
  double relative = 0;
};

struct Bounds {
  Bound out{1e-5};
  Bound lse{2e-5};
  std::optional<Bound> max_scores{};  // none: not compared
};
// |actual - expected| <= tolerance * (1 + |expected|).
constexpr Bound near(double tolerance) { return {tolerance, tolerance}; }
inline constexpr Bounds kNear{near(1e-5), near(1e-5)};

::testing::AssertionResult close(const std::vector<double>& actual, const std::vector<double>& expected, const Bound& bound);
::testing::AssertionResult close(const std::vector<float>& actual, const std::vector<float>& expected, const Bound& bound);
// lse and max_scores of `expected` are taken as the fp32 that they are in a problem.
::testing::AssertionResult agrees(const Problem& problem, const OracleResult& expected, const Bounds& bounds = {});
::testing::AssertionResult is_attention(const Problem& problem, const OraclePattern& pattern, const Bounds& bounds = {});

// What a run wrote.
OracleResult outputs_of(const Problem& problem);
// Two runs of one shape.
struct Tolerance {
  double value = 1e-5;  // near() for out; a tenth of it relative to lse
};
::testing::AssertionResult outputs_agree(const Problem& actual, const Problem& expected, Tolerance tolerance = {});
// Bit for bit, lse included.
::testing::AssertionResult outputs_identical(const Problem& actual, const Problem& expected);

}  // namespace flexjit::test
