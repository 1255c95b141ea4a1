// Where the pieces of a mask's integer divisions and remainders begin along q_idx and kv_idx. A box that ends there is known
// better to interval analysis than one cut in its middle: over [0, 63] q_idx % 64 grows, over [32, 95] it is anything.
#pragma once

#include <vector>

#include "ir/analysis/intervals.h"
#include "ir/program/program.h"

namespace flexjit::mask {

class AxisBreaks {
 public:
  // For the plane of batch entry b and head h. A guess from the values at the first positions: it may miss or invent breaks,
  // which costs time alone.
  AxisBreaks(const ir::Program& program, ir::IntervalAnalysis& analysis, std::int32_t b, std::int32_t h);

  // The position in (lo, hi] where the upper part of [lo, hi] begins: a break of the coarsest division that has one there, the
  // one nearest to the middle; else the middle. lo < hi.
  std::int32_t split_q(std::int32_t lo, std::int32_t hi) const { return split(q_, lo, hi); }
  std::int32_t split_kv(std::int32_t lo, std::int32_t hi) const { return split(kv_, lo, hi); }

 private:
  // Pieces begin where (position + offset) is a multiple of `divisor`.
  struct Period {
    std::int64_t divisor, offset;
  };
  static std::int32_t split(const std::vector<Period>& periods, std::int32_t lo, std::int32_t hi);

  std::vector<Period> q_, kv_;  // falling divisors
};

}  // namespace flexjit::mask
