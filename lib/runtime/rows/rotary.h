// Rows of queries and keys, rotated to their positions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "flexjit/tensor.h"
#include "plan/operands.h"
#include "runtime/workspace.h"

namespace flexjit::runtime {

// Rows of `dim` elements of a dtype.
struct RowType {
  DType dtype = DType::kF32;
  std::int64_t dim = 0;

  std::int64_t bytes() const { return dim * static_cast<std::int64_t>(size_of(dtype)); }
};

// to = the row `from`, rotated to `position`. They do not overlap.
void rotate_row(const plan::RotaryArg& rotary, const RowType& type, std::int64_t position, const std::byte* from,
                std::byte* to);

// A copy of the queries of a call that rotate.
struct RotatedQueries {
  AlignedBuffer rows;
  plan::TensorArg tensor{};  // in the place of q
};
// `q_batch` and `q_rows` are extents of q. Rows of no sequence are left out.
RotatedQueries rotate_queries(const plan::Operands& operands, const RowType& type, std::int64_t q_batch, std::int64_t q_rows,
                              std::span<const plan::Sequence> sequences, int threads);

}  // namespace flexjit::runtime
