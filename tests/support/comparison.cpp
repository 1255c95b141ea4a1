// See comparison.h.
#include "support/comparison.h"

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <sstream>

namespace flexjit::test {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

using Agree = std::function<bool(double actual, double expected)>;
using PlaceOf = std::function<std::string(std::size_t)>;

Agree within(const Bound& bound) {
  return [=](double actual, double expected) {
    if (std::isnan(expected)) return std::isnan(actual);
    if (std::isinf(expected)) return actual == expected;
    return std::abs(actual - expected) <= bound.absolute + bound.relative * std::abs(expected);
  };
}

bool same_bits(double actual, double expected) {
  return std::bit_cast<std::uint64_t>(actual) == std::bit_cast<std::uint64_t>(expected);
}

AssertionResult compare(const std::vector<double>& actual, const std::vector<double>& expected, const Agree& agree,
                        const PlaceOf& place_of) {
  if (actual.size() != expected.size())
    return AssertionFailure() << actual.size() << " elements instead of " << expected.size();
  std::size_t wrong = 0, worst = 0;
  double worst_excess = -1;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (agree(actual[i], expected[i])) continue;
    ++wrong;
    const double difference = std::abs(actual[i] - expected[i]);
    const double excess = std::isfinite(difference) ? difference : std::numeric_limits<double>::infinity();
    if (excess > worst_excess) worst = i, worst_excess = excess;
  }
  if (wrong == 0) return AssertionSuccess();
  return AssertionFailure() << wrong << " of " << actual.size() << " elements differ; the worst, " << place_of(worst) << ", is "
                            << actual[worst] << " instead of " << expected[worst];
}

// The place in an output with `dim` elements a row.
PlaceOf place_in(const char* output, const Shape& s, std::int32_t dim) {
  return [=](std::size_t i) {
    const std::size_t row = i / static_cast<std::size_t>(dim), q_len = static_cast<std::size_t>(s.q_len),
                      heads = static_cast<std::size_t>(s.q_heads);
    std::ostringstream text;
    text << output << " at b " << row / q_len / heads << ", h " << row / q_len % heads << ", q_idx " << row % q_len;
    if (dim != 1) text << ", d " << i % static_cast<std::size_t>(dim);
    return text.str();
  };
}

std::vector<double> as_floats(const std::vector<double>& values) {
  return widened(std::vector<float>(values.begin(), values.end()));
}

AssertionResult in(const Problem& problem, const AssertionResult& result) {
  if (result) return result;
  return AssertionFailure() << to_string(problem) << ": " << result.message();
}

}  // namespace

AssertionResult close(const std::vector<double>& actual, const std::vector<double>& expected, const Bound& bound) {
  return compare(actual, expected, within(bound), [](std::size_t i) { return "[" + std::to_string(i) + "]"; });
}

AssertionResult close(const std::vector<float>& actual, const std::vector<float>& expected, const Bound& bound) {
  return close(widened(actual), widened(expected), bound);
}

AssertionResult agrees(const Problem& problem, const OracleResult& expected, const Bounds& bounds) {
  const Shape& s = problem.shape;
  auto result = compare(problem.out.values(), expected.out, within(bounds.out), place_in("out", s, s.value_dim()));
  if (result) result = compare(widened(problem.lse), as_floats(expected.lse), within(bounds.lse), place_in("lse", s, 1));
  if (result && bounds.max_scores) {
    result = compare(widened(problem.max_scores), as_floats(expected.max_scores), within(*bounds.max_scores),
                     place_in("max_scores", s, 1));
  }
  return in(problem, result);
}

AssertionResult is_attention(const Problem& problem, const OraclePattern& pattern, const Bounds& bounds) {
  return agrees(problem, oracle(problem, pattern), bounds);
}

OracleResult outputs_of(const Problem& problem) {
  return {problem.out.values(), widened(problem.lse), widened(problem.max_scores)};
}

AssertionResult outputs_agree(const Problem& actual, const Problem& expected, Tolerance tolerance) {
  const Bounds bounds{near(tolerance.value), {tolerance.value, tolerance.value / 10}};
  return agrees(actual, outputs_of(expected), bounds);
}

AssertionResult outputs_identical(const Problem& actual, const Problem& expected) {
  const Shape& s = actual.shape;
  auto result = compare(actual.out.values(), expected.out.values(), same_bits, place_in("out", s, s.value_dim()));
  if (result) result = compare(widened(actual.lse), widened(expected.lse), same_bits, place_in("lse", s, 1));
  return in(actual, result);
}

}  // namespace flexjit::test
