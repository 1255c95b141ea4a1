// Ranges of the chunks of one line of elements -> the range over any run of them, in logarithmic time. Eight bytes a node,
// sixteen for longs: the trees are most of what building a long mask holds beside its lists.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "ir/analysis/intervals.h"

namespace flexjit::mask {

class RangeTree {
 public:
  // `leaf_of`(chunk) gives the range of one chunk, whose bounds are 32-bit ints, or floats where `type` is kFloat: kept as
  // the next fp32 numbers outside.
  template <typename LeafOf>
  RangeTree(ir::Type type, std::size_t chunks, LeafOf leaf_of)
      : type_(type), nodes_(is_wide() ? 0 : 2 * chunks), wide_(is_wide() ? 2 * chunks : 0) {
    for (std::size_t chunk = 0; chunk < chunks; ++chunk) set(chunks + chunk, leaf_of(chunk));
    join_leaves();
  }

  // Of the chunks [first, last).
  ir::Range range(std::size_t first, std::size_t last) const;
  std::size_t size() const { return is_wide() ? wide_.size() : nodes_.size(); }

 private:
  // Ints and longs as they are; floats by the ints that sort as they do. lo > hi: no number.
  template <typename Key>
  struct Bounds {
    Key lo, hi;
    void include(const Bounds& other) {
      lo = std::min(lo, other.lo);
      hi = std::max(hi, other.hi);
    }
  };
  bool is_wide() const { return type_ == ir::Type::kLong; }
  void set(std::size_t node, const ir::Range& range);
  void join_leaves();
  ir::Range decode(const Bounds<std::int32_t>& bounds, bool may_nan) const;

  ir::Type type_;
  std::vector<Bounds<std::int32_t>> nodes_;
  std::vector<Bounds<double>> wide_;  // of longs; like nodes_: leaves in [size / 2, size), parent of i at i / 2
  std::vector<bool> nan_;             // by node; empty while no element is NaN
};

}  // namespace flexjit::mask
