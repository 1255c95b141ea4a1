// Non-owning views of the caller's memory. The library reads inputs where they lie and never copies a whole tensor.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "flexjit/export.h"

namespace flexjit {

enum class DType : std::uint8_t { kF32, kF64, kF16, kBF16, kI64, kI32, kI8, kU8, kBool };

// Bytes of one element.
FLEXJIT_API std::size_t size_of(DType dtype) noexcept;
// "f32", "f64", "f16", "bf16", "i64", "i32", "i8", "u8", "bool": the names of the DSL.
FLEXJIT_API std::string_view name_of(DType dtype) noexcept;

inline constexpr int kMaxRank = 4;

// A strided view of at most four dimensions. `strides` are in elements; a stride of 0 repeats (an expanded dimension).
// The memory must outlive every call that is given the view. Queries, keys, values and outputs are (batch, heads, length,
// dim) in this order whatever their layout in memory: a (batch, length, heads, dim) array is the same view with the strides of
// its second and third dimension exchanged (see `bshd`). Their innermost stride must be 1.
template <typename Pointer>
struct BasicTensorView {
  Pointer data = nullptr;
  DType dtype = DType::kF32;
  int rank = 0;
  std::array<std::int64_t, kMaxRank> shape{};
  std::array<std::int64_t, kMaxRank> strides{};

  BasicTensorView() = default;
  // A dense row-major tensor.
  BasicTensorView(Pointer pointer, DType type, std::initializer_list<std::int64_t> extents)
      : data(pointer), dtype(type), rank(static_cast<int>(extents.size())) {
    int i = 0;
    for (std::int64_t extent : extents) shape[i++] = extent;
    std::uint64_t step = 1;  // of extents that no memory holds it wraps; every call refuses those
    for (int d = rank - 1; d >= 0; --d) {
      strides[d] = static_cast<std::int64_t>(step);
      step *= static_cast<std::uint64_t>(shape[d]);
    }
  }
};

using TensorView = BasicTensorView<const void*>;
using MutableTensorView = BasicTensorView<void*>;

// The (batch, heads, length, dim) view of a dense (batch, length, heads, dim) array.
template <typename Pointer>
BasicTensorView<Pointer> bshd(Pointer data, DType dtype, std::array<std::int64_t, 4> shape_bshd) {
  auto [batch, length, heads, dim] = shape_bshd;
  BasicTensorView<Pointer> view(data, dtype, {batch, heads, length, dim});
  view.strides = {length * heads * dim, dim, heads * dim, 1};
  return view;
}

}  // namespace flexjit
