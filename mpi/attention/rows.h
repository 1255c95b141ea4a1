// Rows of tensors (batch, heads, length, dim): memory for them, and rows from one place to another.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "attention/pool.h"
#include "flexjit/mpi/steps.h"
#include "flexjit/tensor.h"

namespace flexjit::mpi {

// Owns a dense tensor, in memory of a pool; its elements are not set.
class Rows {
 public:
  Rows() = default;
  Rows(Pool& pool, DType dtype, const std::array<std::int64_t, 4>& shape);

  MutableTensorView view() { return view_; }
  TensorView view() const { return view_; }
  std::int64_t bytes() const;

 private:
  Pool::Block memory_;
  MutableTensorView view_{};
};

// Rows [row, row + count) of a view.
template <typename View>
View rows_of(View view, std::int64_t row, std::int64_t count) {
  if (view.data == nullptr) return view;
  using Byte = std::conditional_t<std::is_same_v<View, TensorView>, const std::byte, std::byte>;
  view.data = static_cast<Byte*>(view.data) + row * view.strides[2] * static_cast<std::int64_t>(size_of(view.dtype));
  view.shape[2] = count;
  return view;
}

// Heads [head, head + count).
template <typename View>
View heads_of(View view, std::int64_t head, std::int64_t count) {
  using Byte = std::conditional_t<std::is_same_v<View, TensorView>, const std::byte, std::byte>;
  view.data = static_cast<Byte*>(view.data) + head * view.strides[1] * static_cast<std::int64_t>(size_of(view.dtype));
  view.shape[1] = count;
  return view;
}

// A statistic of rows, (batch, heads, length), as rows of one element, and back.
template <typename View>
View as_rows(View view) {
  view.rank = 4;
  view.shape[3] = 1;
  view.strides[3] = 1;
  return view;
}
template <typename View>
View as_statistic(View view) {
  view.rank = 3;
  return view;
}

// All of `from` to where `to` points, of one shape and type.
void copy(const TensorView& from, const MutableTensorView& to);
// to += from, both f32.
void add(const TensorView& from, const MutableTensorView& to);
void fill(const MutableTensorView& to, float value);  // f32
// Elements of `from` as those of the type of `to`, each rounded once.
void convert(const TensorView& from, const MutableTensorView& to);

// The rows of the runs of `from`, one run behind the other.
void gather(const TensorView& from, std::span<const RowRun> runs, const MutableTensorView& to);
// to += from, the other way, both f32.
void scatter_add(const TensorView& from, std::span<const RowRun> runs, const MutableTensorView& to);

}  // namespace flexjit::mpi
