// Ranges of operands -> the range of an operation: ops.def once more, on intervals. Every function is sound for all values
// inside its arguments, as the interpreter and as a kernel in fp32 or fp64 compute them: bounds of correctly rounded float
// operations take in both the fp64 and the fp32 result, those of functions that a kernel approximates are widened by several
// ulps.
#pragma once

#include <span>

#include "ir/analysis/intervals.h"

namespace flexjit::ir {

struct RangeOperation {
  Op op = Op::kConst;
  Type operand_type = Type::kInt;  // of the last operand
  std::span<const Range> operands;
};

// Any operation but leaves and reads.
Range range_of(const RangeOperation& operation);
Range int_range_of(Op op, Type type, std::span<const Range> x);  // operands and result are ints, or longs
Range float_range_of(Op op, std::span<const Range> x);           // operands and result are floats
Range compare_range_of(Op op, const Range& a, const Range& b);

inline bool is_empty(const Range& a) { return a.lo > a.hi; }
inline bool contains(const Range& a, double value) { return a.lo <= value && value <= a.hi; }
// The smallest range with all of both.
Range join(const Range& a, const Range& b);
// The float range [lo, hi], widened to what fp32 and what fp64 make of its bounds.
Range rounded(const Range& a);

}  // namespace flexjit::ir
