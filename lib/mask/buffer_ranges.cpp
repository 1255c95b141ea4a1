// Range queries over captured buffers. A range under construction starts as lo = +inf, hi = -inf, which is also what
// ir::Range means by "always NaN", so an all-NaN selection needs no special case.
#include "mask/buffer_ranges.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "support/small_float.h"

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

ir::Range range_of_dtype(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kF64:
    case DType::kF16:
    case DType::kBF16: return {-kInf, kInf, true};
    case DType::kI64:
    case DType::kI32: return {ir::kIntMin, ir::kIntMax, false};
    case DType::kI8: return {-128, 127, false};
    case DType::kU8: return {0, 255, false};
    case DType::kBool: return {0, 1, false};
  }
  return {-kInf, kInf, true};
}

}  // namespace

double element_value(const TensorView& view, std::int64_t offset) {
  switch (view.dtype) {
    case DType::kF32: return static_cast<double>(load<float>(view.data, offset));
    case DType::kF64: return static_cast<double>(static_cast<float>(load<double>(view.data, offset)));
    case DType::kF16: return static_cast<double>(support::half_to_float(load<std::uint16_t>(view.data, offset)));
    case DType::kBF16: return static_cast<double>(support::bfloat_to_float(load<std::uint16_t>(view.data, offset)));
    case DType::kI64: return static_cast<std::int32_t>(load<std::int64_t>(view.data, offset));
    case DType::kI32: return load<std::int32_t>(view.data, offset);
    case DType::kI8: return load<std::int8_t>(view.data, offset);
    case DType::kU8: return load<std::uint8_t>(view.data, offset);
    case DType::kBool: return load<std::uint8_t>(view.data, offset) != 0 ? 1 : 0;
  }
  return 0;
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
  if (one_line && elements > 2 * kChunk) {
    const auto d = static_cast<std::size_t>(varying);
    const Line line{base, view.strides[d], view.shape[d]};
    found = query(view, line, tree_of(view, {buffer, varying, base}, line), box.lo[d], box.hi[d]);
  } else if (elements <= kScanLimit) {
    found = scan(view, box);
  }
  if (outside) include(found, 0.0);
  return found;
}

// Unused dimensions of the box are [0, 0], so the loop always has four levels.
ir::Range BufferTable::scan(const TensorView& view, const IndexBox& box) const {
  ir::Range found = kNothing;
  const auto& s = view.strides;
  for (std::int64_t i = box.lo[0]; i <= box.hi[0]; ++i) {
    for (std::int64_t j = box.lo[1]; j <= box.hi[1]; ++j) {
      for (std::int64_t k = box.lo[2]; k <= box.hi[2]; ++k) {
        for (std::int64_t l = box.lo[3]; l <= box.hi[3]; ++l) {
          include(found, element_value(view, i * s[0] + j * s[1] + k * s[2] + l * s[3]));
        }
      }
    }
  }
  return found;
}

ir::Range BufferTable::query(const TensorView& view, const Line& line, const Tree& tree, std::int64_t lo,
                             std::int64_t hi) const {
  ir::Range found = kNothing;
  auto read = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) include(found, element_value(view, line.base + i * line.stride));
  };
  const std::int64_t end = hi + 1;
  const std::int64_t first_chunk = (lo + kChunk - 1) / kChunk, last_chunk = end / kChunk;
  if (first_chunk >= last_chunk) {
    read(lo, end);
    return found;
  }
  read(lo, first_chunk * kChunk);
  read(last_chunk * kChunk, end);
  std::size_t left = static_cast<std::size_t>(first_chunk) + tree.size() / 2;
  std::size_t right = static_cast<std::size_t>(last_chunk) + tree.size() / 2;
  for (; left < right; left /= 2, right /= 2) {
    if (left % 2 == 1) include(found, tree[left++]);
    if (right % 2 == 1) include(found, tree[--right]);
  }
  return found;
}

const BufferTable::Tree& BufferTable::tree_of(const TensorView& view, const LineKey& key, const Line& line) const {
  if (auto known = trees_.find(key); known != trees_.end()) return known->second;
  const auto chunks = static_cast<std::size_t>((line.count + kChunk - 1) / kChunk);
  // Planes are visited one after the other, so the lines of earlier ones are seldom asked for again.
  if (nodes_ + 2 * chunks > kNodeLimit) {
    trees_.clear();
    nodes_ = 0;
  }
  nodes_ += 2 * chunks;
  Tree tree(2 * chunks, kNothing);
  for (std::int64_t i = 0; i < line.count; ++i) {
    include(tree[chunks + static_cast<std::size_t>(i / kChunk)], element_value(view, line.base + i * line.stride));
  }
  for (std::size_t node = chunks; node-- > 1;) {
    tree[node] = tree[2 * node];
    include(tree[node], tree[2 * node + 1]);
  }
  return trees_.emplace(key, std::move(tree)).first->second;
}

}  // namespace flexjit::mask
