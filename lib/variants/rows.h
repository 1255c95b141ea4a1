// Rows of a call's tensors gathered into dense copies of their own, and scattered back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "flexjit/tensor.h"
#include "variants/options.h"

namespace flexjit::variants {

// `count` rows for each (batch entry, head) of a tensor (batch, heads, length, dim) or (batch, heads, length), of its type,
// dense.
struct Rows {
  std::vector<std::byte> memory;
  MutableTensorView view{};

  Rows(const TensorView& like, std::size_t count) {
    std::array<std::int64_t, kMaxRank> shape = like.shape;
    shape[2] = static_cast<std::int64_t>(count);
    const bool is_rows = like.rank == kMaxRank;
    memory.resize(like.rank < 3 ? 0 : count_of({shape[0], shape[1], shape[2], is_rows ? shape[3] : 1}) * size_of(like.dtype));
    view = MutableTensorView(memory.data(), like.dtype, std::span(shape).first(static_cast<std::size_t>(like.rank)));
  }
};

// body(row of the tensor, row of the copy, bytes) for every batch entry, head and position: row i of the copy is that of
// positions[i]. Elements of a row lie side by side.
template <typename View, typename Body>
void for_rows(const View& tensor, const MutableTensorView& copy, std::span<const std::int32_t> positions, const Body& body) {
  const auto size = static_cast<std::int64_t>(size_of(tensor.dtype));
  using Byte = std::conditional_t<std::is_same_v<View, TensorView>, const std::byte, std::byte>;
  const auto bytes = static_cast<std::size_t>(size * (tensor.rank == kMaxRank ? tensor.shape[3] : 1));
  for (std::int64_t pair = 0; pair < tensor.shape[0] * tensor.shape[1]; ++pair) {
    const std::int64_t b = pair / tensor.shape[1], h = pair % tensor.shape[1];
    auto* from = static_cast<Byte*>(tensor.data) + (b * tensor.strides[0] + h * tensor.strides[1]) * size;
    auto* to = static_cast<std::byte*>(copy.data) + (b * copy.strides[0] + h * copy.strides[1]) * size;
    for (std::size_t i = 0; i < positions.size(); ++i)
      body(from + positions[i] * tensor.strides[2] * size, to + static_cast<std::int64_t>(i) * copy.strides[2] * size, bytes);
  }
}

inline Rows gathered(const TensorView& tensor, std::span<const std::int32_t> positions) {
  Rows copy(tensor, positions.size());
  for_rows(tensor, copy.view, positions,
           [](const std::byte* from, std::byte* to, std::size_t bytes) { std::memcpy(to, from, bytes); });
  return copy;
}

inline void scatter(const Rows& copy, const MutableTensorView& tensor, std::span<const std::int32_t> positions) {
  for_rows(tensor, copy.view, positions,
           [](std::byte* to, const std::byte* from, std::size_t bytes) { std::memcpy(to, from, bytes); });
}

}  // namespace flexjit::variants
