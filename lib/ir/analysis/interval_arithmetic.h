// Ranges of operands -> the range of an operation: ops.def once more, on intervals. Every function is sound for all values
// inside its arguments, as the interpreter and as a kernel in fp32 or fp64 compute them: bounds of correctly rounded float
// operations take in both the fp64 and the fp32 result, those of functions that a kernel approximates are widened by several
// ulps.
#pragma once

#include <array>
#include <cstdint>

#include "ir/analysis/intervals.h"

namespace flexjit::ir {

// Where the ranges of one to three operands are: a copy would wait for bounds that were written just before.
class RangeOperands {
 public:
  RangeOperands(const Range& a) : at_{&a}, last_(0) {}
  RangeOperands(const Range& a, const Range& b) : at_{&a, &b}, last_(1) {}
  RangeOperands(const Range& a, const Range& b, const Range& c) : at_{&a, &b, &c}, last_(2) {}
  const Range& operator[](std::size_t i) const { return *at_[i]; }
  const Range& front() const { return *at_[0]; }
  const Range& back() const { return *at_[last_]; }

 private:
  std::array<const Range*, 3> at_;
  std::uint8_t last_;
};

struct RangeOperation {
  Op op = Op::kConst;
  Type operand_type = Type::kInt;  // of the last operand
  RangeOperands operands;
};

// Any operation but leaves and reads.
Range range_of(const RangeOperation& operation);
Range int_range_of(Op op, Type type, const RangeOperands& x);  // operands and result are ints, or longs
Range float_range_of(Op op, const RangeOperands& x);           // operands and result are floats
Range compare_range_of(Op op, const Range& a, const Range& b);

inline bool is_empty(const Range& a) { return a.lo > a.hi; }
inline bool contains(const Range& a, double value) { return a.lo <= value && value <= a.hi; }
// The smallest range with all of both.
Range join(const Range& a, const Range& b);
// The float range [lo, hi], widened to what fp32 and what fp64 make of its bounds.
Range rounded(const Range& a);

}  // namespace flexjit::ir
