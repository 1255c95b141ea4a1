// Ints. What is known of the operands' ranges decides between the form of the general case and that of a person: where neither
// is negative, C++'s `/` and `%` are the language's `//` and `%`, and unsigned ints are ints.
#include <bit>

#include "cxx/meaning/arithmetic.h"

namespace flexjit::cxx {

Scalar Arithmetic::integer(ScalarType type, std::int64_t value) {
  if (type.base == ScalarType::Base::kBool) return {graph_.constant(value != 0), type};
  if (type.bits == 64) return {graph_.constant_long(value), type};
  return {wrapped(graph_.integer(Type::kInt, value), type), type};
}

Scalar Arithmetic::unary(Operator operation, Scalar a) {
  if (a.type.is_floating() && operation == Operator::kNegate) {
    if (const auto known = graph_.float_value(a.id)) return floating(a.type, -*known);
  }
  return {graph_.unary(operation, a.id), a.type, a.digits};
}

Scalar Arithmetic::select(NodeId condition, Scalar yes, Scalar no) {
  const bool exact = yes.digits == Digits::kExact && no.digits == Digits::kExact;
  return {graph_.select(condition, yes.id, no.id), yes.type, exact ? Digits::kExact : Digits::kRounded};
}

Scalar Arithmetic::binary(Operator operation, Scalar a, Scalar b) {
  if (a.type.is_floating()) {
    return is_comparison(operation) ? compare_floats(operation, a, b) : float_operation(operation, a, b);
  }
  if (is_comparison(operation)) return compare_ints(operation, a, b);
  if (operation == Operator::kShiftLeft || operation == Operator::kShiftRight) return shift(operation, a, b);
  return int_operation(operation, a, b);
}

Scalar Arithmetic::int_operation(Operator operation, Scalar a, Scalar b) {
  switch (operation) {
    case Operator::kDiv: return {divided(a.type, a.id, b.id), a.type};
    case Operator::kMod: return {remainder(a.type, a.id, b.id), a.type};
    default: return {op(operation, a.id, b.id), a.type};
  }
}

// The count's type is its own; one that is wider has the same lowest bits, which are all that count.
Scalar Arithmetic::shift(Operator operation, Scalar a, Scalar b) {
  const NodeId count = convert(b, {ScalarType::Base::kInt, a.type.bits, true}).id;
  if (operation == Operator::kShiftRight && !a.type.is_signed) return {shifted_right_unsigned(a.id, count), a.type};
  return {op(operation, a.id, count), a.type};
}

NodeId Arithmetic::shifted_right_unsigned(NodeId a, NodeId count) {
  if (is_nonnegative(a)) return op(Operator::kShiftRight, a, count);
  const NodeId shifted = op(Operator::kShiftRight, a, count);
  const bool is_long = graph_.type(a) == Type::kLong;
  const std::int64_t least = is_long ? INT64_MIN : INT32_MIN;
  if (const auto known = graph_.int_value(count)) {
    const std::int64_t used = *known & (is_long ? 63 : 31);
    if (used == 0) return a;
    return op(Operator::kBitAnd, shifted, constant(a, ~(least >> (used - 1))));
  }
  // The bits that the sign has filled in are those that it fills in of the least number, but for its lowest.
  const NodeId filled = op(Operator::kShiftLeft, op(Operator::kShiftRight, constant(a, least), count), constant(a, 1));
  return op(Operator::kBitAnd, shifted, graph_.unary(Operator::kBitNot, filled));
}

Scalar Arithmetic::compare_ints(Operator operation, Scalar a, Scalar b) {
  const bool is_order = operation != Operator::kEqual && operation != Operator::kNotEqual;
  const bool as_signed = a.type.base == ScalarType::Base::kBool || a.type.is_signed || a.type.bits < 32 || !is_order ||
                         (is_nonnegative(a.id) && is_nonnegative(b.id));
  if (as_signed) return {op(operation, a.id, b.id), kBoolType};
  switch (operation) {
    case Operator::kLess: return {less_unsigned(a.id, b.id, false), kBoolType};
    case Operator::kLessEqual: return {less_unsigned(a.id, b.id, true), kBoolType};
    case Operator::kGreater: return {less_unsigned(b.id, a.id, false), kBoolType};
    default: return {less_unsigned(b.id, a.id, true), kBoolType};
  }
}

NodeId Arithmetic::less_unsigned(NodeId a, NodeId b, bool or_equal) {
  const Operator less = or_equal ? Operator::kLessEqual : Operator::kLess;
  const NodeId zero = constant(a, 0);
  if (is_nonnegative(a) && is_nonnegative(b)) return op(less, a, b);
  if (is_nonnegative(b)) return op(Operator::kAnd, op(Operator::kGreaterEqual, a, zero), op(less, a, b));
  if (is_nonnegative(a)) return op(Operator::kOr, op(Operator::kLess, b, zero), op(less, a, b));
  const NodeId least = constant(a, graph_.type(a) == Type::kLong ? INT64_MIN : INT32_MIN);
  return op(less, op(Operator::kBitXor, a, least), op(Operator::kBitXor, b, least));
}

NodeId Arithmetic::divided(ScalarType type, NodeId a, NodeId b) {
  if (is_nonnegative(a) && is_nonnegative(b)) return op(Operator::kFloorDiv, a, b);
  if (!type.is_signed && type.bits >= 32) return divided_unsigned(a, b);
  const NodeId zero = constant(a, 0), negative = op(Operator::kLess, a, zero);
  if (graph_.range(b).lo > 0) {  // ceil of a negative quotient
    const NodeId up = op(Operator::kAdd, a, op(Operator::kSub, b, constant(a, 1)));
    return op(Operator::kFloorDiv, graph_.select(negative, up, a), b);
  }
  // The floor is one less than the quotient where the signs differ and something remains.
  const NodeId floor = op(Operator::kFloorDiv, a, b), rest = op(Operator::kMod, a, b);
  const NodeId differ = op(Operator::kLess, op(Operator::kBitXor, a, b), zero);
  const NodeId inexact = op(Operator::kAnd, differ, op(Operator::kNotEqual, rest, zero));
  return op(Operator::kAdd, floor, graph_.select(inexact, constant(a, 1), zero));
}

NodeId Arithmetic::remainder(ScalarType type, NodeId a, NodeId b) {
  if (is_nonnegative(a) && is_nonnegative(b)) return op(Operator::kMod, a, b);
  if (!type.is_signed && type.bits >= 32) {
    const auto mask = graph_.int_value(b);
    if (mask && *mask > 0 && std::has_single_bit(static_cast<std::uint64_t>(*mask)))
      return op(Operator::kBitAnd, a, constant(a, *mask - 1));
    return op(Operator::kSub, a, op(Operator::kMul, divided_unsigned(a, b), b));
  }
  const NodeId zero = constant(a, 0), rest = op(Operator::kMod, a, b);
  const NodeId differ = op(Operator::kLess, op(Operator::kBitXor, a, b), zero);
  const NodeId inexact = op(Operator::kAnd, differ, op(Operator::kNotEqual, rest, zero));
  return op(Operator::kSub, rest, graph_.select(inexact, b, zero));
}

// By half of a, which is no longer negative; at most one too small (Warren, Hacker's Delight, 9-3).
NodeId Arithmetic::divided_unsigned(NodeId a, NodeId b) {
  const NodeId zero = constant(a, 0), one = constant(a, 1);
  const auto known = graph_.int_value(b);
  if (known && *known > 0 && std::has_single_bit(static_cast<std::uint64_t>(*known)))
    return shifted_right_unsigned(a, constant(a, std::countr_zero(static_cast<std::uint64_t>(*known))));
  const NodeId by_large = graph_.select(less_unsigned(b, a, true), one, zero);
  if (known && *known < 0) return by_large;
  const NodeId half = op(Operator::kFloorDiv, shifted_right_unsigned(a, one), b);
  const NodeId small = op(Operator::kShiftLeft, half, one);
  const NodeId rest = op(Operator::kSub, a, op(Operator::kMul, small, b));
  const NodeId quotient = op(Operator::kAdd, small, graph_.select(less_unsigned(b, rest, true), one, zero));
  if (is_nonnegative(b)) return quotient;
  return graph_.select(op(Operator::kLess, b, zero), by_large, quotient);
}

NodeId Arithmetic::wrapped(NodeId id, ScalarType to) {
  if (to.bits >= 32 || graph_.range(id).is_inside(range_of(to.bits, to.is_signed))) return id;
  const NodeId count = graph_.constant(32 - to.bits);
  if (to.is_signed) return op(Operator::kShiftRight, op(Operator::kShiftLeft, id, count), count);
  return op(Operator::kBitAnd, id, graph_.constant((1 << to.bits) - 1));
}

NodeId Arithmetic::to_int_of(NodeId id, ScalarType from, ScalarType to) {
  if (from.bits < 64 && to.bits < 64) return wrapped(id, to);
  if (from.bits == 64 && to.bits == 64) return id;
  if (to.bits == 64) {
    const NodeId wide = graph_.call("int64", Type::kLong, {id});
    if (from.is_signed || from.bits < 32 || is_nonnegative(id)) return wide;
    return op(Operator::kBitAnd, wide, graph_.constant_long(0xffffffff));
  }
  const NodeId count = graph_.constant_long(32);
  const bool fits = graph_.range(id).is_inside(kAnyInt);
  const NodeId lowest = fits ? id : op(Operator::kShiftRight, op(Operator::kShiftLeft, id, count), count);
  return wrapped(graph_.call("int", Type::kInt, {lowest}), to);
}

Scalar Arithmetic::convert(Scalar value, ScalarType to) {
  using Base = ScalarType::Base;
  if (value.type == to) return value;
  if (to.is_floating()) return to_floating(value, to);
  if (to.base == Base::kBool) {
    if (value.type.is_floating()) return compare_floats(Operator::kNotEqual, value, floating(value.type, 0));
    return {op(Operator::kNotEqual, value.id, constant(value.id, 0)), to};
  }
  if (value.type.is_floating()) return {floating_to_int(value, to), to};
  if (value.type.base == Base::kBool) {
    const NodeId number = graph_.call("int", Type::kInt, {value.id});
    return {to.bits == 64 ? graph_.call("int64", Type::kLong, {number}) : number, to};
  }
  return {to_int_of(value.id, value.type, to), to};
}

Scalar Arithmetic::minimum(std::string_view function, Scalar a, Scalar b) {
  const bool exact = a.digits == Digits::kExact && b.digits == Digits::kExact;
  if (a.type.is_floating()) {
    const NodeId x = operand(a, function), y = operand(b, function);
    return {graph_.call(function, Type::kFloat, {x, y}), a.type, exact ? Digits::kExact : Digits::kRounded};
  }
  const bool as_signed = a.type.is_signed || a.type.bits < 32 || (is_nonnegative(a.id) && is_nonnegative(b.id));
  if (as_signed) return {graph_.call(function, graph_.type(a.id), {a.id, b.id}), a.type};
  const NodeId less = function == "min" ? less_unsigned(a.id, b.id, false) : less_unsigned(b.id, a.id, false);
  return {graph_.select(less, a.id, b.id), a.type};
}

Scalar Arithmetic::absolute(Scalar a) {
  if (!a.type.is_floating()) return {graph_.call("abs", graph_.type(a.id), {a.id}), a.type};
  return {graph_.call("abs", Type::kFloat, {operand(a, "abs")}), a.type, a.digits};
}

}  // namespace flexjit::cxx
