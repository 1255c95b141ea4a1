// Gradients are compared whole: those of keys and buffers are sums over all rows, of which no sample can be checked.
#include "measure/backward.h"

#include <algorithm>
#include <cmath>

#include "data/generate.h"
#include "data/npy.h"
#include "measure/verify.h"

namespace flexjit::tools {
namespace {

constexpr std::uint64_t kGradientStream = (std::uint64_t{1} << 32) + 1;  // beside that of the sinks
constexpr double kQuickMultiplyAdds = 3e8;                               // of the reference

Array like(const Array& array) { return Array(array.dtype, array.shape); }

struct Distance {
  double worst = 0, largest = 0;  // difference; expected number
};

Distance distance_of(const Array& actual, const Array& expected) {
  Distance found;
  for (std::int64_t i = 0, n = expected.count(); i < n; ++i) {
    const double a = number_at(actual, i), e = number_at(expected, i);
    const double difference = a == e || (std::isnan(a) && std::isnan(e)) ? 0 : std::abs(a - e);
    if (!(difference <= found.worst) && !std::isnan(found.worst)) found.worst = difference;
    if (std::isfinite(e)) found.largest = std::max(found.largest, std::abs(e));
  }
  return found;
}

double largest_lse(const RunArgs& forward) {
  double largest = 0;
  if (forward.lse.data == nullptr) return largest;
  const auto* lse = static_cast<const float*>(forward.lse.data);
  const auto& shape = forward.lse.shape;
  for (std::int64_t i = 0; i < shape[0] * shape[1] * shape[2]; ++i) {
    if (std::isfinite(lse[i])) largest = std::max(largest, std::abs(static_cast<double>(lse[i])));
  }
  return largest;
}

// Of the largest number of a tensor.
double tolerance_of(const Problem& problem, const RunArgs& forward, DType gradient) {
  constexpr double kLow = 0x1p-20;
  const double unit = rounding_of(problem.q.dtype), coarsest = std::max(unit, rounding_of(gradient));
  const double arithmetic = std::min(unit, rounding_of(DType::kF32));
  return arithmetic * (350 + 8 * largest_lse(forward)) + (coarsest > kLow ? 4 * coarsest : 0);
}

}  // namespace

GradientArrays make_gradients(const Problem& problem, const Bindings& bindings, Array out,
                              const std::vector<std::string>& buffers) {
  GradientArrays arrays{.out = std::move(out), .q = like(problem.q), .k = like(problem.k), .v = like(problem.v), .buffers = {}};
  for (const std::string& name : buffers) {
    const auto bound = bindings.buffers.find(name);
    if (bound == bindings.buffers.end()) {
      arrays.buffers[name] = Array(DType::kF32, {1});
      continue;
    }
    const TensorView& view = bound->second;
    arrays.buffers[name] = Array(view.dtype, {view.shape.begin(), view.shape.begin() + view.rank});
  }
  return arrays;
}

Gradients gradients_of(GradientArrays& arrays, const Problem& problem) {
  Gradients gradients{.out = view_of(arrays.out, problem.layout),
                      .q = mutable_view_of(arrays.q, problem.layout),
                      .k = mutable_view_of(arrays.k, problem.layout),
                      .v = mutable_view_of(arrays.v, problem.layout)};
  for (auto& [name, array] : arrays.buffers) {
    gradients.buffers[name] = MutableTensorView(array.bytes.data(), array.dtype, std::span<const std::int64_t>(array.shape));
  }
  return gradients;
}

Result<Array> generated_output_gradient(const Problem& problem, std::uint64_t seed) {
  const Array wanted = problem.make_output();
  return convert(normal_array(wanted.shape, {seed, kGradientStream}), wanted.dtype, "generated");
}

Work backward_work(const Problem& problem, std::int64_t allowed_pairs) {
  const Sizes& s = problem.sizes;
  return {.operations = 2.0 * static_cast<double>(3 * s.head_dim + 2 * s.v_head_dim) * static_cast<double>(allowed_pairs),
          .arithmetic = fma_peak_for(problem.q.dtype)};
}

bool backward_check_is_quick(const Problem& problem) {
  const Sizes& s = problem.sizes;
  const double pairs = static_cast<double>(s.heads) * problem.pairs();
  return pairs * static_cast<double>(3 * s.head_dim + 2 * s.v_head_dim) <= kQuickMultiplyAdds;
}

Result<BackwardErrors> verify_backward(const Attention& attention, const RunArgs& forward, const Problem& problem,
                                       GradientArrays& actual) {
  GradientArrays expected{.out = actual.out, .q = like(actual.q), .k = like(actual.k), .v = like(actual.v), .buffers = {}};
  for (const auto& [name, array] : actual.buffers) expected.buffers[name] = like(array);
  const Result<RunStats> stats = run_backward_reference(attention, forward, gradients_of(expected, problem));
  if (!stats) return stats.diagnostics();
  BackwardErrors errors;
  const auto compare = [&](const Array& a, const Array& e) {
    const Distance distance = distance_of(a, e);
    if (!(distance.worst <= tolerance_of(problem, forward, a.dtype) * distance.largest)) errors.correct = false;
    return distance.worst;
  };
  errors.q = compare(actual.q, expected.q);
  errors.k = compare(actual.k, expected.k);
  errors.v = compare(actual.v, expected.v);
  for (const auto& [name, array] : actual.buffers) {
    errors.buffers = std::max(errors.buffers.value_or(0), compare(array, expected.buffers.at(name)));
  }
  return errors;
}

}  // namespace flexjit::tools
