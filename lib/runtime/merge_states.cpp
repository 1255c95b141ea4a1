// One row at a time, a few dims of all its states at a time, so that the output may lie where a state did.
#include "runtime/merge_states.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "runtime/elements.h"

namespace flexjit::runtime {

namespace {

constexpr std::int64_t kChunk = 64;
constexpr double kInf = std::numeric_limits<double>::infinity();

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
  for (double& factor : factors_) factor = factor == 0 ? 0 : factor / total.sum;
  combine(states, dim, out, out_dtype);
  return total;
}

RowTotal RowMerger::add(std::span<const RowState> states, std::int64_t dim, void* out, DType out_dtype) {
  RowTotal total{-kInf, 0};
  factors_.clear();
  for (const RowState& state : states) {
    total.max = std::max(total.max, double{state.max});
    total.sum += double{state.sum};
    factors_.push_back(1);
  }
  combine(states, dim, out, out_dtype);
  return total;
}

void RowMerger::combine(std::span<const RowState> states, std::int64_t dim, void* out, DType out_dtype) const {
  std::array<double, kChunk> sums, values;
  for (std::int64_t d = 0; d < dim; d += kChunk) {
    const auto count = static_cast<std::size_t>(std::min(kChunk, dim - d));
    sums.fill(0);
    for (std::size_t i = 0; i < states.size(); ++i) {
      if (factors_[i] == 0 || states[i].o == nullptr) continue;
      read_elements(states[i].dtype, states[i].o, d, std::span(values).first(count));
      for (std::size_t j = 0; j < count; ++j) sums[j] += factors_[i] * values[j];
    }
    write_elements(out_dtype, out, d, std::span(sums).first(count));
  }
}

float log_sum(const RowTotal& total) { return static_cast<float>(total.sum == 0 ? -kInf : total.max + std::log(total.sum)); }

}  // namespace flexjit::runtime
