// A segment tree over 32-bit keys. The bits of an fp32 number sort as an int once those of negative numbers are turned around.
#include "mask/derive/range_tree.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace flexjit::mask {

namespace {

constexpr std::int32_t kLeast = std::numeric_limits<std::int32_t>::min(), kMost = std::numeric_limits<std::int32_t>::max();

// Its own inverse.
std::int32_t sorted_bits(std::int32_t bits) { return bits < 0 ? bits ^ kMost : bits; }

// The fp32 number at `value`, or the next one in the direction of `towards`.
float nearest_fp32(double value, float towards) {
  const auto rounded = static_cast<float>(value);
  const bool is_inside = towards > 0 ? static_cast<double>(rounded) < value : static_cast<double>(rounded) > value;
  return is_inside ? std::nextafter(rounded, towards) : rounded;
}

std::int32_t key_of(double value, ir::Type type, float towards) {
  if (type != ir::Type::kFloat) return static_cast<std::int32_t>(value);
  return sorted_bits(std::bit_cast<std::int32_t>(nearest_fp32(value, towards)));
}

double value_of(std::int32_t key, ir::Type type) {
  return type == ir::Type::kFloat ? std::bit_cast<float>(sorted_bits(key)) : key;
}

}  // namespace

void RangeTree::set(std::size_t node, const ir::Range& range) {
  if (is_wide()) {
    wide_[node] = {range.lo, range.hi};
    return;
  }
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  nodes_[node] = {kMost, kLeast};
  if (range.lo <= range.hi) nodes_[node] = {key_of(range.lo, type_, -kInfinity), key_of(range.hi, type_, kInfinity)};
  if (!range.may_nan) return;
  nan_.resize(nodes_.size());
  nan_[node] = true;
}

void RangeTree::join_leaves() {
  for (std::size_t node = size() / 2; node-- > 1;) {
    const auto join = [node](auto& nodes) {
      nodes[node] = nodes[2 * node];
      nodes[node].include(nodes[2 * node + 1]);
    };
    if (is_wide()) {
      join(wide_);
      continue;
    }
    join(nodes_);
    if (!nan_.empty()) nan_[node] = nan_[2 * node] || nan_[2 * node + 1];
  }
}

ir::Range RangeTree::decode(const Bounds<std::int32_t>& bounds, bool may_nan) const {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (bounds.lo > bounds.hi) return {kInfinity, -kInfinity, may_nan};
  return {value_of(bounds.lo, type_), value_of(bounds.hi, type_), may_nan};
}

ir::Range RangeTree::range(std::size_t first, std::size_t last) const {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Bounds<std::int32_t> found{kMost, kLeast};
  Bounds<double> found_wide{kInfinity, -kInfinity};
  bool may_nan = false;
  const auto include = [&](std::size_t node) {
    if (is_wide()) return found_wide.include(wide_[node]);
    found.include(nodes_[node]);
    may_nan = may_nan || (!nan_.empty() && nan_[node]);
  };
  std::size_t left = first + size() / 2, right = last + size() / 2;
  for (; left < right; left /= 2, right /= 2) {
    if (left % 2 == 1) include(left++);
    if (right % 2 == 1) include(--right);
  }
  return is_wide() ? ir::Range{found_wide.lo, found_wide.hi, false} : decode(found, may_nan);
}

}  // namespace flexjit::mask
