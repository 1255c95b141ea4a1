// One row at a time, a few dims of all its states at a time, so that the output may lie where a state did.
#include "runtime/merge_states.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "support/dtype.h"
#include "support/elements.h"

namespace flexjit::runtime {

namespace {

constexpr std::int64_t kChunk = 64;
constexpr double kInf = std::numeric_limits<double>::infinity();

// A mean lies between its values, so that only rounding takes a finite one past the largest number.
double limit_of(std::span<const RowState> states) {
  double limit = 0;
  for (const RowState& state : states) limit = std::max(limit, support::facts_of(state.dtype).largest);
  return limit;
}

}  // namespace

RowTotal RowMerger::merge(std::span<const RowState> states, std::int64_t dim, void* out, DType out_dtype) {
  RowTotal total{-kInf, 0};
  for (const RowState& state : states) {
    if (state.sum != 0) total.max = std::max(total.max, double{state.max});
  }
  factors_.clear();
  for (const RowState& state : states) {
    factors_.push_back(state.sum == 0 ? 0 : std::exp(double{state.max} - total.max));
    total.sum += factors_.back() * double{state.sum};
  }
  for (std::size_t i = 0; i < states.size(); ++i) {
    // A sum of NaN shows in the output although the factor of its state may be 0.
    const bool none = states[i].sum == 0 || (factors_[i] == 0 && !std::isnan(total.sum));
    factors_[i] = none ? 0 : factors_[i] / total.sum * double{states[i].scale};
  }
  combine(states, dim, {out, out_dtype, limit_of(states)});
  return total;
}

RowTotal RowMerger::add(std::span<const RowState> states, std::int64_t dim, void* out, DType out_dtype) {
  RowTotal total{-kInf, 0};
  factors_.clear();
  for (const RowState& state : states) {
    total.max = std::max(total.max, double{state.max});
    total.sum += double{state.sum};
    factors_.push_back(double{state.scale});
  }
  combine(states, dim, {out, out_dtype, kInf});
  return total;
}

void RowMerger::combine(std::span<const RowState> states, std::int64_t dim, const Output& out) const {
  std::array<double, kChunk> sums, values;
  for (std::int64_t d = 0; d < dim; d += kChunk) {
    const auto count = static_cast<std::size_t>(std::min(kChunk, dim - d));
    sums.fill(0);
    for (std::size_t i = 0; i < states.size(); ++i) {
      if (factors_[i] == 0 || states[i].o == nullptr) continue;
      support::read_elements(states[i].dtype, states[i].o, d, std::span(values).first(count));
      for (std::size_t j = 0; j < count; ++j) sums[j] += factors_[i] * values[j];
    }
    for (double& sum : std::span(sums).first(count)) {
      const double magnitude = std::abs(sum);
      sum = magnitude > out.limit && magnitude < kInf ? std::copysign(out.limit, sum) : sum;
    }
    support::write_elements(out.dtype, out.data, d, std::span(sums).first(count));
  }
}

float log_sum(const RowTotal& total) { return static_cast<float>(total.sum == 0 ? -kInf : total.max + std::log(total.sum)); }

}  // namespace flexjit::runtime
