// Tensors in the order of FlashAttention's extents -> the views of (batch, heads, length, dim) that a call takes.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "call/validate.h"
#include "flexjit/flash_attention.h"

namespace flexjit::engine {

// (batch, seqlen, heads, dim), or packed (total, heads, dim), as a batch of 1.
enum class Lengths : std::uint8_t { kBatch, kPacked };

// No value, and a finding, for another rank.
std::optional<TensorView> heads_first(const char* name, const TensorView& view, Lengths lengths, Report& report);
std::optional<MutableTensorView> heads_first(const char* name, const MutableTensorView& view, Lengths lengths, Report& report);

// (batch, heads, length) of itself or of (heads, total); absent stays absent.
std::optional<TensorView> lse_of(const char* name, const TensorView& view, Lengths lengths, Report& report);
std::optional<MutableTensorView> lse_of(const char* name, const MutableTensorView& view, Lengths lengths, Report& report);

// The tensors that lie side by side, in their order. No value, and a finding, for another rank or number of parts.
template <std::size_t kParts>
std::optional<std::array<TensorView, kParts>> parts_of(const char* name, const PackedView& packed, Lengths lengths,
                                                       Report& report);

// Numbers of the library's own beside those of the caller.
inline TensorView ints_view(const std::vector<std::int32_t>& of) {
  return TensorView(of.data(), DType::kI32, {static_cast<std::int64_t>(of.size())});
}

}  // namespace flexjit::engine
