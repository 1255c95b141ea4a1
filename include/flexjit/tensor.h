// Non-owning views of the caller's memory. The library reads inputs where they lie and never copies a whole tensor.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

#include "flexjit/export.h"

namespace flexjit {

// kF32, kF64, kF16, kBF16, kI64, kI32, kI8, kU8, kBool, kE4M3, kE5M2.
enum class DType : std::uint8_t {
#define FLEXJIT_DTYPE(name, c_name, text, stored, kind, npy, unit, largest) k##name,
#include "flexjit/dtypes.def"
#undef FLEXJIT_DTYPE
};

// Bytes of one element.
FLEXJIT_API std::size_t size_of(DType dtype) noexcept;
// "f32", "f64", "f16", "bf16", "i64", "i32", "i8", "u8", "bool", "e4m3", "e5m2": the names of the DSL.
FLEXJIT_API std::string_view name_of(DType dtype) noexcept;

inline constexpr int kMaxRank = 4;

// A strided view of at most four dimensions. `strides` are in elements; a stride of 0 repeats (an expanded dimension).
// The memory must outlive every call that is given the view. A view of another rank can be made, and every call refuses it.
// Queries, keys, values and outputs are (batch, heads, length, dim) in this order whatever their layout in memory: a (batch,
// length, heads, dim) array is the same view with the strides of its second and third dimension exchanged (see `bshd`). Their
// innermost stride must be 1.
template <typename Pointer>
struct BasicTensorView {
  Pointer data = nullptr;
  DType dtype = DType::kF32;
  int rank = 0;
  std::array<std::int64_t, kMaxRank> shape{};
  std::array<std::int64_t, kMaxRank> strides{};

  BasicTensorView() = default;
  // A dense row-major tensor. `rank` is the number of extents whatever it is; those past the fourth are not kept.
  BasicTensorView(Pointer pointer, DType type, std::initializer_list<std::int64_t> extents)
      : BasicTensorView(pointer, type, std::span(extents.begin(), extents.size())) {}
  BasicTensorView(Pointer pointer, DType type, std::span<const std::int64_t> extents)
      : data(pointer),
        dtype(type),
        rank(extents.size() < kMaxInt ? static_cast<int>(extents.size()) : static_cast<int>(kMaxInt)) {
    const std::size_t kept = extents.size() < kMaxRank ? extents.size() : kMaxRank;
    std::uint64_t step = 1;  // wraps for extents that no memory can have, which calls refuse
    for (std::size_t d = kept; d-- > 0;) {
      shape[d] = extents[d];
      strides[d] = static_cast<std::int64_t>(step);
      step *= static_cast<std::uint64_t>(extents[d]);
    }
  }
  // What may be written may be read.
  template <typename Other>
    requires(!std::is_same_v<Other, Pointer> && std::is_convertible_v<Other, Pointer>)
  BasicTensorView(const BasicTensorView<Other>& other)  // NOLINT(google-explicit-constructor)
      : data(other.data), dtype(other.dtype), rank(other.rank), shape(other.shape), strides(other.strides) {}

 private:
  static constexpr auto kMaxInt = static_cast<std::size_t>(std::numeric_limits<int>::max());
};

using TensorView = BasicTensorView<const void*>;
using MutableTensorView = BasicTensorView<void*>;

// The (batch, heads, length, dim) view of a dense (batch, length, heads, dim) array; `data` is a pointer to anything.
template <typename Pointer>
auto bshd(Pointer data, DType dtype, const std::array<std::int64_t, 4>& shape_bshd) {
  static_assert(std::is_pointer_v<Pointer>, "bshd takes a pointer to the first element");
  using View = std::conditional_t<std::is_const_v<std::remove_pointer_t<Pointer>>, TensorView, MutableTensorView>;
  const auto [batch, length, heads, dim] = shape_bshd;
  View view(data, dtype, {batch, length, heads, dim});
  view.shape = {batch, heads, length, dim};
  view.strides = {view.strides[0], view.strides[2], view.strides[1], view.strides[3]};
  return view;
}

}  // namespace flexjit
