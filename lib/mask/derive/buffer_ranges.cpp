// Range queries over captured buffers. A range under construction starts as lo = +inf, hi = -inf, which is also what
// ir::Range means by "always NaN", so an all-NaN selection needs no special case.
#include "mask/derive/buffer_ranges.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "support/dtype.h"

namespace flexjit::mask {

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr ir::Range kNothing{kInf, -kInf, false};

void include(ir::Range& range, double value) {
  if (std::isnan(value)) {
    range.may_nan = true;
    return;
  }
  range.lo = std::min(range.lo, value);
  range.hi = std::max(range.hi, value);
}

void include(ir::Range& range, const ir::Range& other) {
  range.lo = std::min(range.lo, other.lo);
  range.hi = std::max(range.hi, other.hi);
  range.may_nan = range.may_nan || other.may_nan;
}

template <typename T>
T load(const void* data, std::int64_t offset) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + offset * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

// The values of `count` elements from `first` on, `stride` apart; `value_of` turns what is stored into what the IR sees.
template <typename T, typename ValueOf>
ir::Range range_of_elements(const void* first, std::int64_t stride, std::int64_t count, ValueOf value_of) {
  using Value = decltype(value_of(T{}));
  using Limits = std::numeric_limits<Value>;
  Value lo = Limits::has_infinity ? Limits::infinity() : Limits::max(), hi = Limits::has_infinity ? -lo : Limits::lowest();
  bool nan = false;
  for (std::int64_t i = 0; i < count; ++i) {
    const Value value = value_of(load<T>(first, i * stride));
    nan = nan || value != value;
    lo = value < lo ? value : lo;
    hi = value > hi ? value : hi;
  }
  if constexpr (std::is_same_v<Value, std::int64_t>) return ir::long_range(lo, hi);
  return {static_cast<double>(lo), static_cast<double>(hi), nan};
}

ir::Range range_of_dtype(DType dtype) {
  return support::with_element(dtype, [](auto element) -> ir::Range {
    using E = decltype(element);
    using Limits = std::numeric_limits<typename E::Stored>;
    switch (E::kKind) {
      case support::ElementKind::kFloat: return {-kInf, kInf, true};
      case support::ElementKind::kLong: return ir::kAnyLong;
      case support::ElementKind::kInt: return {static_cast<double>(Limits::min()), static_cast<double>(Limits::max()), false};
      case support::ElementKind::kBool: return {0, 1, false};
    }
    return {-kInf, kInf, true};
  });
}

}  // namespace

// Doubles are rounded to the program's floats, bools are 0 or 1. At least one element;
// offset and stride in elements.
ir::Range BufferTable::range_of_line(const TensorView& view, std::int64_t offset, std::int64_t stride,
                                     std::int64_t count) const {
  const void* first = static_cast<const char*>(view.data) + offset * static_cast<std::int64_t>(size_of(view.dtype));
  return support::with_element(view.dtype, [&](auto element) {
    using E = decltype(element);
    using Stored = typename E::Stored;
    if constexpr (std::is_same_v<Stored, double>) {
      return range_of_elements<Stored>(first, stride, count,
                                       [this](double value) { return support::rounded(precision_, value); });
    } else {
      return range_of_elements<Stored>(first, stride, count, [](Stored stored) { return E::decode(stored); });
    }
  });
}

ir::Range BufferTable::range(std::uint32_t buffer, std::span<const ir::Range> index) const {
  const TensorView& view = buffers_[buffer];
  IndexBox box;
  bool outside = false;
  int varying = -1;
  std::int64_t base = 0, elements = 1;
  bool one_line = true;
  for (std::size_t d = 0; d < index.size(); ++d) {
    const std::int64_t extent = view.shape[d];
    const auto lo = static_cast<std::int64_t>(index[d].lo), hi = static_cast<std::int64_t>(index[d].hi);
    if (hi < 0 || lo >= extent) return ir::Range::point(0);
    outside = outside || lo < 0 || hi >= extent;
    box.lo[d] = std::max<std::int64_t>(lo, 0);
    // A repeated dimension holds one value, so one of its indices stands for all.
    box.hi[d] = view.strides[d] == 0 ? box.lo[d] : std::min(hi, extent - 1);
    const std::int64_t count = box.hi[d] - box.lo[d] + 1;
    elements = std::min(elements, kScanLimit + 1) * std::min(count, kScanLimit + 1);
    if (count == 1) {
      base += box.lo[d] * view.strides[d];
    } else {
      one_line = one_line && varying < 0;
      varying = static_cast<int>(d);
    }
  }
  ir::Range found = range_of_dtype(view.dtype);
  if (one_line) {
    found = range_along(buffer, varying, base, box);
  } else if (elements <= kScanLimit) {
    Answer& answer = answer_to(buffer, box);
    if (answer.buffer != buffer || answer.box != box) answer = {buffer, box, scan(view, box)};
    found = answer.range;
  }
  if (outside) include(found, 0.0);
  return found;
}

// Where one dimension varies, or none.
ir::Range BufferTable::range_along(std::uint32_t buffer, int varying, std::int64_t base, const IndexBox& box) const {
  const TensorView& view = buffers_[buffer];
  if (varying < 0) return range_of_line(view, base, 0, 1);
  const auto d = static_cast<std::size_t>(varying);
  const Line line{base, view.strides[d], view.shape[d]};
  const std::int64_t count = box.hi[d] - box.lo[d] + 1;
  if (count <= kFewElements) return range_of_line(view, base + box.lo[d] * line.stride, line.stride, count);
  Answer& answer = answer_to(buffer, box);
  if (answer.buffer == buffer && answer.box == box) return answer.range;
  const ir::Range found = count <= 2 * kChunk
                              ? range_of_line(view, base + box.lo[d] * line.stride, line.stride, count)
                              : query(view, line, tree_of(view, {buffer, varying, base}, line), box.lo[d], box.hi[d]);
  answer = {buffer, box, found};
  return found;
}

// Neighbouring boxes share the ranges of one of their sides, so that most questions are asked again soon.
BufferTable::Answer& BufferTable::answer_to(std::uint32_t buffer, const IndexBox& box) const {
  constexpr std::size_t kAnswers = 256;
  if (answers_.empty()) answers_.resize(kAnswers);
  std::uint64_t hash = buffer;
  for (std::size_t d = 0; d < box.lo.size(); ++d) {
    hash = (hash ^ static_cast<std::uint64_t>(box.lo[d])) * 0x9e3779b97f4a7c15;
    hash = (hash ^ static_cast<std::uint64_t>(box.hi[d])) * 0x9e3779b97f4a7c15;
  }
  return answers_[(hash >> 32) % kAnswers];
}

// Line by line along the last dimension; unused dimensions of the box are [0, 0].
ir::Range BufferTable::scan(const TensorView& view, const IndexBox& box) const {
  ir::Range found = kNothing;
  const auto last = static_cast<std::size_t>(std::max(view.rank, 1) - 1);
  std::array<std::int64_t, kMaxRank> at = box.lo;
  while (true) {
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < at.size(); ++d) offset += at[d] * view.strides[d];
    include(found, range_of_line(view, offset, view.strides[last], box.hi[last] - box.lo[last] + 1));
    std::size_t d = last;
    while (d > 0 && at[d - 1] == box.hi[d - 1]) at[d - 1] = box.lo[d - 1], --d;
    if (d == 0) return found;
    ++at[d - 1];
  }
}

ir::Range BufferTable::query(const TensorView& view, const Line& line, const RangeTree& tree, std::int64_t lo,
                             std::int64_t hi) const {
  ir::Range found = kNothing;
  auto read = [&](std::int64_t begin, std::int64_t end) {
    if (begin < end) include(found, range_of_line(view, line.base + begin * line.stride, line.stride, end - begin));
  };
  const std::int64_t end = hi + 1;
  const std::int64_t first_chunk = (lo + kChunk - 1) / kChunk, last_chunk = end / kChunk;
  if (first_chunk >= last_chunk) {
    read(lo, end);
    return found;
  }
  read(lo, first_chunk * kChunk);
  read(last_chunk * kChunk, end);
  include(found, tree.range(static_cast<std::size_t>(first_chunk), static_cast<std::size_t>(last_chunk)));
  return found;
}

const RangeTree& BufferTable::tree_of(const TensorView& view, const LineKey& key, const Line& line) const {
  if (auto known = trees_.find(key); known != trees_.end()) return known->second;
  const auto chunks = static_cast<std::size_t>((line.count + kChunk - 1) / kChunk);
  // Planes are visited one after the other, so the lines of earlier ones are seldom asked for again.
  if (nodes_ + 2 * chunks > kNodeLimit) {
    trees_.clear();
    nodes_ = 0;
  }
  nodes_ += 2 * chunks;
  RangeTree tree(ir::element_type(view.dtype), chunks, [&](std::size_t chunk) {
    const std::int64_t begin = static_cast<std::int64_t>(chunk) * kChunk;
    return range_of_line(view, line.base + begin * line.stride, line.stride, std::min(kChunk, line.count - begin));
  });
  return trees_.emplace(key, std::move(tree)).first->second;
}

}  // namespace flexjit::mask
