// Partial results over disjoint keys -> the result over all of them. A state of a query row is (o, max, sum): o = sum of
// weight * v / scale and sum = sum of weight, weights being exp(score - max). A finished output with its lse is the state
// (v, lse, 1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "flexjit/tensor.h"

namespace flexjit::runtime {

// `o` has the dims of the output; null: all 0. Not read where sum is 0.
struct RowState {
  const void* o = nullptr;
  DType dtype = DType::kF32;  // of o: f32, bf16, f16 or f64
  float max = 0;
  float sum = 0;
  float scale = 1;
};

struct RowTotal {
  double max = 0;
  double sum = 0;
};

// Merges the states of one row after another; rows of at most `most_states` states allocate nothing. Sums in fp64, in the order
// of the states, so that the bits do not depend on who merges.
class RowMerger {
 public:
  explicit RowMerger(std::size_t most_states) { factors_.reserve(most_states); }

  // out[0 .. dim) = sum of exp(max_i - max) * o_i / sum, 0 where no state has a key, NaN where any sum is. `out` may be the `o`
  // of a state.
  RowTotal merge(std::span<const RowState> states, std::int64_t dim, void* out, DType out_dtype);
  // out[0 .. dim) = sum of o_i: weights that are not normalised. RowState::max is not used but for the total's max.
  RowTotal add(std::span<const RowState> states, std::int64_t dim, void* out, DType out_dtype);

 private:
  // Finite results are kept within [-limit, limit].
  struct Output {
    void* data;
    DType dtype;
    double limit;
  };
  void combine(std::span<const RowState> states, std::int64_t dim, const Output& out) const;

  std::vector<double> factors_;  // by state; 0: its o is not read
};

// ln of the sum of the weights, -inf where there is none.
float log_sum(const RowTotal& total);

}  // namespace flexjit::runtime
