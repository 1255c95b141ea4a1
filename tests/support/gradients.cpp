// Memory of a backward pass, comparisons of what lies there, and what holds of it whatever the pattern. See gradients.h.
#include "support/gradients.h"

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <sstream>

#include "support/comparison.h"
#include "support/random.h"

namespace flexjit::test {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

AssertionResult in(const BackwardProblem& problem, const std::string& what, const AssertionResult& result) {
  if (result) return result;
  return AssertionFailure() << to_string(problem.forward) << ": " << what << ": " << result.message();
}

struct Pair {
  std::string name;
  const std::vector<double>& actual;
  const std::vector<double>& expected;
  bool is_sum = false;
};

std::vector<Pair> pairs_of(const GradientValues& actual, const GradientValues& expected) {
  std::vector<Pair> pairs{{"dq", actual.q, expected.q},
                          {"dk", actual.k, expected.k},
                          {"dv", actual.v, expected.v},
                          {"dsinks", actual.sinks, expected.sinks, true}};
  for (const auto& [name, values] : actual.buffers) pairs.push_back({"d" + name, values, expected.buffers.at(name), true});
  return pairs;
}

std::vector<double> all_of(const GradientValues& values) {
  std::vector<double> all = values.q;
  for (const auto* more : {&values.k, &values.v, &values.sinks}) all.insert(all.end(), more->begin(), more->end());
  for (const auto& [name, more] : values.buffers) all.insert(all.end(), more.begin(), more.end());
  return all;
}

// Two sums of products, each over a range of its own.
class Sums {
 public:
  void add_left(double a, double b) { add(left_, a, b); }
  void add_right(double a, double b) { add(right_, a, b); }
  AssertionResult agree(double tolerance, const std::string& what) const {
    const Real difference = left_ - right_;
    if (std::abs(difference) <= Real{tolerance} * magnitude_ + 1e-30L) return AssertionSuccess();
    return AssertionFailure() << what << ": " << static_cast<double>(left_) << " and " << static_cast<double>(right_);
  }

 private:
  void add(Real& sum, double a, double b) {
    sum += Real{a} * Real{b};
    magnitude_ += std::abs(Real{a} * Real{b});
  }
  Real left_ = 0, right_ = 0, magnitude_ = 0;
};

AssertionResult values_are_linear(const BackwardProblem& problem, const GradientValues& values, double tolerance) {
  Sums sums;
  for (std::size_t i = 0; i < problem.d_out.size(); ++i) sums.add_left(problem.d_out[i], problem.forward.out[i]);
  for (std::size_t i = 0; i < values.v.size(); ++i) sums.add_right(values.v[i], problem.forward.v[i]);
  return sums.agree(tolerance, "sum dO O and sum dV V");
}

AssertionResult scores_are_bilinear(const BackwardProblem& problem, const GradientValues& values, double tolerance) {
  const Shape& s = problem.forward.shape;
  const std::size_t planes = static_cast<std::size_t>(s.batch) * static_cast<std::size_t>(s.kv_heads);
  for (std::size_t plane = 0; plane < planes; ++plane) {
    const std::size_t q_count = values.q.size() / planes, k_count = values.k.size() / planes;
    Sums sums;
    for (std::size_t i = plane * q_count; i < (plane + 1) * q_count; ++i) sums.add_left(values.q[i], problem.forward.q[i]);
    for (std::size_t i = plane * k_count; i < (plane + 1) * k_count; ++i) sums.add_right(values.k[i], problem.forward.k[i]);
    const auto result = sums.agree(tolerance, "sum dQ Q and sum dK K of batch entry and kv head " + std::to_string(plane));
    if (!result) return result;
  }
  return AssertionSuccess();
}

}  // namespace

BackwardProblem::BackwardProblem(const Shape& s, const Types& types, std::uint64_t seed, const Layout& layout)
    : forward(s, types, seed, layout),
      d_out(types.out, {s.batch, s.q_heads, s.q_len, s.value_dim()}, layout),
      d_lse(forward.lse.size()),
      dq(types.q, {s.batch, s.q_heads, s.q_len, s.head_dim}, layout),
      dk(types.kv, {s.batch, s.kv_heads, s.kv_len, s.head_dim}, layout),
      dv(types.kv, {s.batch, s.kv_heads, s.kv_len, s.value_dim()}, layout) {
  Random random(seed + 0x9e3779b97f4a7c15U);
  d_out.fill([&](std::size_t) { return static_cast<double>(random.normal()); });
  for (float& value : d_lse) value = random.normal();
  poison_outputs();
}

void BackwardProblem::want_buffer(const std::string& name, const std::vector<std::int64_t>& extents, DType dtype) {
  Extents all{1, 1, 1, 1};
  std::copy(extents.begin(), extents.end(), all.end() - static_cast<std::ptrdiff_t>(extents.size()));
  d_buffers.insert_or_assign(name, BufferGradient{Tensor(dtype, all), static_cast<int>(extents.size())});
  d_buffers.at(name).tensor.fill([](std::size_t) { return kNan; });
}

void BackwardProblem::add_sinks(const std::vector<float>& values) {
  sinks = values;
  d_sinks.assign(values.size(), std::numeric_limits<float>::quiet_NaN());
}

void BackwardProblem::poison_outputs() {
  for (Tensor* tensor : {&dq, &dk, &dv}) tensor->fill([](std::size_t) { return kNan; });
  for (auto& [name, buffer] : d_buffers) buffer.tensor.fill([](std::size_t) { return kNan; });
  d_sinks.assign(d_sinks.size(), std::numeric_limits<float>::quiet_NaN());
}

RunArgs BackwardProblem::args(const Bindings* bindings) {
  RunArgs args = forward.args(bindings);
  if (!sinks.empty()) args.sinks = TensorView(sinks.data(), DType::kF32, {forward.shape.q_heads});
  return args;
}

Gradients BackwardProblem::gradients() {
  const Shape& s = forward.shape;
  Gradients all{.out = std::as_const(d_out).view(),
                .lse = TensorView(d_lse.data(), DType::kF32, {s.batch, s.q_heads, s.q_len}),
                .q = dq.view(),
                .k = dk.view(),
                .v = dv.view()};
  if (!sinks.empty()) all.sinks = MutableTensorView(d_sinks.data(), DType::kF32, {s.q_heads});
  for (auto& [name, buffer] : d_buffers) {
    const MutableTensorView four = buffer.tensor.view();
    const auto missing = static_cast<std::size_t>(4 - buffer.rank);
    all.buffers[name] = MutableTensorView(four.data, four.dtype, std::span(four.shape).subspan(missing));
  }
  return all;
}

GradientValues gradients_of(const BackwardProblem& problem) {
  GradientValues values{problem.dq.values(), problem.dk.values(), problem.dv.values(), widened(problem.d_sinks), {}};
  for (const auto& [name, buffer] : problem.d_buffers) values.buffers[name] = buffer.tensor.values();
  return values;
}

AssertionResult agrees(const BackwardProblem& problem, const GradientValues& expected, const GradientBounds& bounds) {
  const GradientValues actual = gradients_of(problem);
  for (const Pair& pair : pairs_of(actual, expected)) {
    const auto result = in(problem, pair.name, close(pair.actual, pair.expected, pair.is_sum ? bounds.sums : bounds.tensors));
    if (!result) return result;
  }
  return AssertionSuccess();
}

AssertionResult has_gradients(const BackwardProblem& problem, const GradientPattern& pattern, const GradientBounds& bounds) {
  return agrees(problem, oracle_gradients(problem, pattern), bounds);
}

AssertionResult has_gradients_as_of(DType low, const BackwardProblem& problem, const GradientPattern& pattern) {
  const GradientValues actual = gradients_of(problem), exact = oracle_gradients(problem, pattern);
  const GradientValues rounded = oracle_gradients(problem, pattern, low);
  const std::vector<Pair> references = pairs_of(rounded, exact), results = pairs_of(actual, exact);
  for (std::size_t i = 0; i < results.size(); ++i) {
    double worst = 0;
    for (std::size_t j = 0; j < references[i].actual.size(); ++j) {
      worst = std::max(worst, std::abs(references[i].actual[j] - references[i].expected[j]));
    }
    const double unit = low == DType::kBF16 ? 0x1p-8 : 0x1p-11;
    const Bound bound = results[i].is_sum ? Bound{8 * worst + 1e-5, 4 * unit} : Bound{2 * worst + 1e-5, 0};
    const auto result = in(problem, results[i].name, close(results[i].actual, results[i].expected, bound));
    if (!result) return result;
  }
  return AssertionSuccess();
}

AssertionResult keeps_identities(const BackwardProblem& problem, double tolerance) {
  const GradientValues values = gradients_of(problem);
  for (const double value : all_of(values)) {
    if (!std::isfinite(value)) return in(problem, "finite", AssertionFailure() << "a gradient is " << value);
  }
  auto result = values_are_linear(problem, values, tolerance);
  if (result) result = scores_are_bilinear(problem, values, tolerance);
  return in(problem, "identities", result);
}

AssertionResult keeps_shift(const BackwardProblem& problem, const std::string& shift, double tolerance) {
  const GradientValues values = gradients_of(problem);
  Sums sums;
  sums.add_left(values.buffers.at(shift).at(0), 1);
  for (const double sink : values.sinks) sums.add_left(sink, 1);
  for (std::size_t row = 0; row < problem.d_lse.size(); ++row) {
    const bool has_lse = problem.forward.lse[row] != -std::numeric_limits<float>::infinity();
    if (has_lse) sums.add_right(static_cast<double>(problem.d_lse[row]), 1);
  }
  return in(problem, "shift", sums.agree(tolerance, "the gradients of shift and sinks, and the sum of dLSE"));
}

AssertionResult vanishes(const BackwardProblem& problem) {
  std::size_t wrong = 0;
  for (const double value : all_of(gradients_of(problem))) wrong += value == 0 ? 0 : 1;
  if (wrong == 0) return AssertionSuccess();
  return in(problem, "vanishes", AssertionFailure() << wrong << " gradients are not 0");
}

AssertionResult gradients_identical(const BackwardProblem& actual, const BackwardProblem& expected) {
  const GradientValues a = gradients_of(actual), e = gradients_of(expected);
  for (const Pair& pair : pairs_of(a, e)) {
    for (std::size_t i = 0; i < pair.actual.size(); ++i) {
      if (std::bit_cast<std::uint64_t>(pair.actual[i]) == std::bit_cast<std::uint64_t>(pair.expected[i])) continue;
      return in(actual, pair.name, AssertionFailure() << "[" << i << "] is " << pair.actual[i] << ", not " << pair.expected[i]);
    }
  }
  return AssertionSuccess();
}

}  // namespace flexjit::test
