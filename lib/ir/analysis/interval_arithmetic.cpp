// Dispatch by type rule, and the operations that mix types: bools, comparisons, choices and casts.
#include "ir/analysis/interval_arithmetic.h"

#include <algorithm>
#include <cmath>

#include "ir/evaluate/arithmetic.h"
#include "support/check.h"

namespace flexjit::ir {
namespace {

Range truth(bool may_be_false, bool may_be_true) { return {may_be_false ? 0.0 : 1.0, may_be_true ? 1.0 : 0.0, false}; }

Range bool_range_of(Op op, const Range& a, const Range& b) {
  if (op == Op::kAnd) return {std::min(a.lo, b.lo), std::min(a.hi, b.hi), false};
  if (op == Op::kOr) return {std::max(a.lo, b.lo), std::max(a.hi, b.hi), false};
  if (op == Op::kNot) return {1 - a.hi, 1 - a.lo, false};
  if (!a.is_point() || !b.is_point()) return kAnyBool;
  return Range::point(a.lo != b.lo ? 1 : 0);
}

Range float_to_int_range(const Range& a) {
  const Range numbers = is_empty(a) ? Range::point(0) : Range{double(float_to_int(a.lo)), double(float_to_int(a.hi)), false};
  return a.may_nan ? join(numbers, Range::point(0)) : numbers;
}

Range cast_range_of(Op op, const Range& a) {
  if (op == Op::kIntToFloat) return rounded(a);
  if (op == Op::kFloatToInt) return float_to_int_range(a);
  if (op == Op::kLongToInt) return {std::clamp(a.lo, kIntMin, kIntMax), std::clamp(a.hi, kIntMin, kIntMax), false};
  FLEXJIT_CHECK(op == Op::kBoolToInt || op == Op::kIntToLong, std::string(mnemonic(op)) + " has no range of casts");
  return a;
}

}  // namespace

Range join(const Range& a, const Range& b) { return {std::min(a.lo, b.lo), std::max(a.hi, b.hi), a.may_nan || b.may_nan}; }

// Every comparison but != is false when an operand is NaN.
Range compare_range_of(Op op, const Range& a, const Range& b) {
  if (op == Op::kGt) return compare_range_of(Op::kLt, b, a);
  if (op == Op::kGe) return compare_range_of(Op::kLe, b, a);
  const bool may_nan = a.may_nan || b.may_nan;
  const bool no_numbers = is_empty(a) || is_empty(b);
  if (op == Op::kLt) return truth(may_nan || a.hi >= b.lo, !no_numbers && a.lo < b.hi);
  if (op == Op::kLe) return truth(may_nan || a.hi > b.lo, !no_numbers && a.lo <= b.hi);
  const bool may_equal = !no_numbers && a.lo <= b.hi && b.lo <= a.hi;
  const bool may_differ = may_nan || !(a.is_point() && b.is_point() && a.lo == b.lo);
  return op == Op::kEq ? truth(may_differ, may_equal) : truth(may_equal, may_differ);
}

Range range_of(const RangeOperation& operation) {
  const RangeOperands& x = operation.operands;
  const Op op = operation.op;
  switch (type_rule(op)) {
    case TypeRule::kNumeric:
    case TypeRule::kFloat:
    case TypeRule::kInteger:
    case TypeRule::kBits:
      if (operation.operand_type == Type::kFloat) return float_range_of(op, x);
      if (operation.operand_type == Type::kBool) return bool_range_of(op, x.front(), x.back());
      return int_range_of(op, operation.operand_type, x);
    case TypeRule::kCompare:
    case TypeRule::kEqual: return compare_range_of(op, x[0], x[1]);
    case TypeRule::kChoice: return x[0].is_point() ? (x[0].lo != 0 ? x[1] : x[2]) : join(x[1], x[2]);
    case TypeRule::kIntToFloat:
    case TypeRule::kFloatToInt:
    case TypeRule::kBoolToInt:
    case TypeRule::kIntToLong:
    case TypeRule::kLongToInt: return cast_range_of(op, x[0]);
    case TypeRule::kRandom: return {0, 1, false};
    case TypeRule::kConst:
    case TypeRule::kVariable:
    case TypeRule::kVariadic: break;
  }
  FLEXJIT_CHECK(false, std::string(mnemonic(op)) + " has no range of its operands alone");
  return {};
}

}  // namespace flexjit::ir
