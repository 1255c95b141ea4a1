// Loops over batch entries, heads and rows; a row is contiguous in every tensor that a call takes.
#include "attention/rows.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "flexjit/merge_states.h"

namespace flexjit::mpi {

namespace {

// visit(row of from, row of to), of each.
template <typename Visit>
void for_rows(const TensorView& from, const MutableTensorView& to, const Visit& visit) {
  const auto from_size = static_cast<std::int64_t>(size_of(from.dtype)), to_size = static_cast<std::int64_t>(size_of(to.dtype));
  for (std::int64_t b = 0; b < to.shape[0]; ++b) {
    for (std::int64_t h = 0; h < to.shape[1]; ++h) {
      for (std::int64_t t = 0; t < to.shape[2]; ++t) {
        const auto place = [&](const auto& view) { return b * view.strides[0] + h * view.strides[1] + t * view.strides[2]; };
        visit(static_cast<const std::byte*>(from.data) + place(from) * from_size,
              static_cast<std::byte*>(to.data) + place(to) * to_size);
      }
    }
  }
}

}  // namespace

Rows::Rows(Pool& pool, DType dtype, const std::array<std::int64_t, 4>& shape) : view_(nullptr, dtype, shape) {
  // One element at least, so that a tensor without rows has an address, as one with rows has.
  memory_ = pool.take(static_cast<std::size_t>(std::max<std::int64_t>(bytes(), 16)));
  view_.data = memory_.get();
}

std::int64_t Rows::bytes() const {
  return view_.shape[0] * view_.shape[1] * view_.shape[2] * view_.shape[3] * static_cast<std::int64_t>(size_of(view_.dtype));
}

void copy(const TensorView& from, const MutableTensorView& to) {
  const std::size_t bytes = static_cast<std::size_t>(to.shape[3]) * size_of(to.dtype);
  for_rows(from, to, [&](const std::byte* source, std::byte* target) { std::memcpy(target, source, bytes); });
}

void add(const TensorView& from, const MutableTensorView& to) {
  for_rows(from, to, [&](const std::byte* source, std::byte* target) {
    const auto* values = reinterpret_cast<const float*>(source);
    auto* sums = reinterpret_cast<float*>(target);
    for (std::int64_t d = 0; d < to.shape[3]; ++d) sums[d] += values[d];
  });
}

void fill(const MutableTensorView& to, float value) {
  for_rows(to, to,
           [&](const std::byte*, std::byte* target) { std::fill_n(reinterpret_cast<float*>(target), to.shape[3], value); });
}

void convert(const TensorView& from, const MutableTensorView& to) {
  if (from.dtype == to.dtype) return copy(from, to);
  if (to.shape[0] == 0 || to.shape[1] == 0 || to.shape[2] == 0) return;
  // A state of weight 1 alone, whose merging is a rounding.
  const float zero = 0;
  TensorView lse(&zero, DType::kF32, {to.shape[0], to.shape[1], to.shape[2]});
  lse.strides = {};
  const std::vector<AttentionState> state{{.v = from, .lse = lse}};
  static_cast<void>(merge_states({.states = state, .out = to}).value());
}

void gather(const TensorView& from, std::span<const RowRun> runs, const MutableTensorView& to) {
  std::int64_t at = 0;
  for (const RowRun& run : runs) {
    copy(rows_of(from, run.begin, run.count), rows_of(to, at, run.count));
    at += run.count;
  }
}

void scatter_add(const TensorView& from, std::span<const RowRun> runs, const MutableTensorView& to) {
  std::int64_t at = 0;
  for (const RowRun& run : runs) {
    add(rows_of(from, at, run.count), rows_of(to, run.begin, run.count));
    at += run.count;
  }
}

}  // namespace flexjit::mpi
