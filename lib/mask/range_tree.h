// Ranges of the chunks of one line of elements -> the range over any run of them, in logarithmic time. Eight bytes a node: the
// trees are most of what building a long mask holds beside its lists.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/intervals.h"

namespace flexjit::mask {

class RangeTree {
 public:
  // `leaf_of`(chunk) gives the range of one chunk, whose bounds are 32-bit ints, or floats where `type` is kFloat: kept as
  // the next fp32 numbers outside.
  template <typename LeafOf>
  RangeTree(ir::Type type, std::size_t chunks, LeafOf leaf_of) : type_(type), nodes_(2 * chunks) {
    for (std::size_t chunk = 0; chunk < chunks; ++chunk) set(chunks + chunk, leaf_of(chunk));
    join_leaves();
  }

  // Of the chunks [first, last).
  ir::Range range(std::size_t first, std::size_t last) const;
  std::size_t size() const { return nodes_.size(); }

 private:
  // Ints as they are; floats by the ints that sort as they do. lo > hi: no number.
  struct Bounds {
    std::int32_t lo, hi;
  };
  void set(std::size_t node, const ir::Range& range);
  void join_leaves();
  ir::Range decode(const Bounds& bounds, bool may_nan) const;

  ir::Type type_;
  std::vector<Bounds> nodes_;  // leaves in [size / 2, size), parent of i at i / 2
  std::vector<bool> nan_;      // by node; empty while no element is NaN
};

}  // namespace flexjit::mask
