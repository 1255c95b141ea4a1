// Extents and strides exchanged; no element moves.
#include "entry/layouts.h"

namespace flexjit {

PackedView::PackedView(const void* pointer, DType type, std::initializer_list<std::int64_t> extents)
    : data(pointer), dtype(type), rank(static_cast<int>(extents.size())) {
  std::uint64_t step = 1;  // wraps for extents that no memory can have, which calls refuse
  for (std::size_t d = std::min(extents.size(), shape.size()); d-- > 0;) {
    shape[d] = extents.begin()[d];
    strides[d] = static_cast<std::int64_t>(step);
    step *= static_cast<std::uint64_t>(shape[d]);
  }
}

namespace engine {

namespace {

template <typename View>
std::optional<View> exchanged(const char* name, const View& view, Lengths lengths, Report& report) {
  const bool packed = lengths == Lengths::kPacked;
  const int rank = packed ? 3 : 4;
  if (view.rank != rank) {
    report.add(Finding::kTensorRank, name, view.rank, rank, packed ? "(total, heads, dim)" : "(batch, seqlen, heads, dim)");
    return std::nullopt;
  }
  View result = view;
  result.rank = kMaxRank;
  const auto& [shape, strides] = std::pair(view.shape, view.strides);
  if (packed) {
    result.shape = {1, shape[1], shape[0], shape[2]};
    result.strides = {0, strides[1], strides[0], strides[2]};
  } else {
    result.shape = {shape[0], shape[2], shape[1], shape[3]};
    result.strides = {strides[0], strides[2], strides[1], strides[3]};
  }
  return result;
}

template <typename View>
std::optional<View> rows_of(const char* name, const View& view, Lengths lengths, Report& report) {
  if (view.data == nullptr) return view;
  const bool packed = lengths == Lengths::kPacked;
  const int rank = packed ? 2 : 3;
  if (view.rank != rank) {
    report.add(Finding::kTensorRank, name, view.rank, rank, packed ? "(heads_q, total_q)" : "(batch, heads_q, seqlen_q)");
    return std::nullopt;
  }
  if (!packed) return view;
  View result = view;
  result.rank = 3;
  result.shape = {1, view.shape[0], view.shape[1]};
  result.strides = {0, view.strides[0], view.strides[1]};
  return result;
}

}  // namespace

std::optional<TensorView> heads_first(const char* name, const TensorView& view, Lengths lengths, Report& report) {
  return exchanged(name, view, lengths, report);
}

std::optional<MutableTensorView> heads_first(const char* name, const MutableTensorView& view, Lengths lengths, Report& report) {
  return exchanged(name, view, lengths, report);
}

std::optional<TensorView> lse_of(const char* name, const TensorView& view, Lengths lengths, Report& report) {
  return rows_of(name, view, lengths, report);
}

std::optional<MutableTensorView> lse_of(const char* name, const MutableTensorView& view, Lengths lengths, Report& report) {
  return rows_of(name, view, lengths, report);
}

template <std::size_t kParts>
std::optional<std::array<TensorView, kParts>> parts_of(const char* name, const PackedView& packed, Lengths lengths,
                                                       Report& report) {
  const std::size_t leading = lengths == Lengths::kPacked ? 1 : 2;
  const auto rank = static_cast<int>(leading + 3);
  if (packed.rank != rank) {
    report.add(Finding::kTensorRank, name, packed.rank, rank,
               fmt::format("{}, {}, heads, dim)", leading == 1 ? "(total" : "(batch, seqlen", kParts));
    return std::nullopt;
  }
  if (packed.shape[leading] != std::int64_t{kParts}) {
    report.add(Finding::kTensorShape, name, "parts", packed.shape[leading], "this call", kParts);
    return std::nullopt;
  }
  const std::int64_t step = packed.strides[leading];
  if (step > kMaxReach / 64 || step < -(kMaxReach / 64)) {
    report.add(Finding::kReach, name, kMaxReach);
    return std::nullopt;
  }
  TensorView part;
  part.dtype = packed.dtype;
  part.rank = rank - 1;
  for (std::size_t d = 0, to = 0; d < leading + 3; ++d) {
    if (d == leading) continue;
    part.shape[to] = packed.shape[d];
    part.strides[to++] = packed.strides[d];
  }
  std::array<TensorView, kParts> parts;
  for (std::size_t i = 0; i < kParts; ++i) {
    parts[i] = part;
    if (packed.data == nullptr) continue;
    const std::int64_t bytes = static_cast<std::int64_t>(i * size_of(packed.dtype)) * step;
    parts[i].data = static_cast<const std::byte*>(packed.data) + bytes;
  }
  return parts;
}
template std::optional<std::array<TensorView, 2>> parts_of<2>(const char*, const PackedView&, Lengths, Report&);
template std::optional<std::array<TensorView, 3>> parts_of<3>(const char*, const PackedView&, Lengths, Report&);

}  // namespace engine
}  // namespace flexjit
