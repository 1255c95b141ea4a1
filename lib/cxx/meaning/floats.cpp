// Floats. A pattern computes in one precision. What C++ computes in the other one is said exactly where that is possible: a
// double that becomes a float after one operation on floats has the bits of that operation in fp32, since fp64 has more than
// twice its digits and two (Figueroa, "When is double rounding innocuous?", 1995); a float compares with a double as with the
// float next to it. Everything else loses digits, of which the caller is told.
#include <cmath>
#include <limits>

#include "cxx/meaning/arithmetic.h"

namespace flexjit::cxx {
namespace {

constexpr Range kExactInFp32{-(1 << 24), 1 << 24};
constexpr Range kExactInFp64{-(std::int64_t{1} << 53), std::int64_t{1} << 53};

double fold_known(Operator op, double a, double b) {
  switch (op) {
    case Operator::kAdd: return a + b;
    case Operator::kSub: return a - b;
    case Operator::kMul: return a * b;
    default: return a / b;
  }
}

bool compare_known(Operator op, double a, double b) {
  switch (op) {
    case Operator::kEqual: return a == b;
    case Operator::kNotEqual: return a != b;
    case Operator::kLess: return a < b;
    case Operator::kLessEqual: return a <= b;
    case Operator::kGreater: return a > b;
    default: return a >= b;
  }
}

Operator turned(Operator op) {
  switch (op) {
    case Operator::kLess: return Operator::kGreater;
    case Operator::kLessEqual: return Operator::kGreaterEqual;
    case Operator::kGreater: return Operator::kLess;
    case Operator::kGreaterEqual: return Operator::kLessEqual;
    default: return op;
  }
}

double kept(ScalarType type, double value) {
  return type.base == ScalarType::Base::kFloat ? static_cast<double>(static_cast<float>(value)) : value;
}

}  // namespace

bool Arithmetic::is_native(ScalarType type) const {
  const bool is_fp64 = type.base == ScalarType::Base::kDouble;
  return is_fp64 == (precision_ == support::Precision::kFp64);
}

Scalar Arithmetic::floating(ScalarType type, double value) { return {graph_.constant(kept(type, value)), type}; }

NodeId Arithmetic::operand(Scalar value, std::string_view what) {
  const auto known = graph_.float_value(value.id);
  const bool fits = !known || std::isnan(*known) || support::rounded(precision_, *known) == *known;
  if (value.digits == Digits::kRounded || !fits) lost_(what);
  return value.id;
}

Scalar Arithmetic::float_operation(Operator operation, Scalar a, Scalar b) {
  const auto x = graph_.float_value(a.id), y = graph_.float_value(b.id);
  if (x && y) return floating(a.type, fold_known(operation, *x, *y));
  const std::string_view what = dsl::spelling_of(operation);
  const NodeId made = op(operation, operand(a, what), operand(b, what));
  if (is_native(a.type)) return {made, a.type};
  if (precision_ == support::Precision::kFp64) lost_(what);  // no form rounds to fp32
  return {made, a.type, precision_ == support::Precision::kFp64 ? Digits::kExact : Digits::kRounded};
}

Scalar Arithmetic::compare_floats(Operator operation, Scalar a, Scalar b) {
  const auto x = graph_.float_value(a.id), y = graph_.float_value(b.id);
  if (x && y) return {graph_.constant(compare_known(operation, *x, *y)), kBoolType};
  if (y && !is_native(a.type)) {
    if (const auto made = compared_with_double(operation, a, *y)) return {*made, kBoolType};
  }
  if (x && !is_native(a.type)) {
    if (const auto made = compared_with_double(turned(operation), b, *x)) return {*made, kBoolType};
  }
  const std::string_view what = dsl::spelling_of(operation);
  return {op(operation, operand(a, what), operand(b, what)), kBoolType};
}

// No float lies between a double and the float that it is compared with instead. Absent: the double is a float.
std::optional<NodeId> Arithmetic::compared_with_double(Operator operation, Scalar a, double b) {
  const auto nearest = static_cast<float>(b);
  if (precision_ == support::Precision::kFp64 || std::isnan(b) || static_cast<double>(nearest) == b) return std::nullopt;
  const NodeId value = operand(a, dsl::spelling_of(operation));
  const float below = static_cast<double>(nearest) < b ? nearest : std::nextafter(nearest, -HUGE_VALF);
  const float above = std::nextafter(below, HUGE_VALF);
  switch (operation) {
    case Operator::kEqual: return graph_.constant(false);
    case Operator::kNotEqual: return graph_.constant(true);
    case Operator::kLess: return op(Operator::kLess, value, graph_.constant(static_cast<double>(above)));
    case Operator::kLessEqual: return op(Operator::kLessEqual, value, graph_.constant(static_cast<double>(below)));
    case Operator::kGreater: return op(Operator::kGreater, value, graph_.constant(static_cast<double>(below)));
    default: return op(Operator::kGreaterEqual, value, graph_.constant(static_cast<double>(above)));
  }
}

NodeId Arithmetic::from_unsigned(NodeId id) {
  const auto as_float = [&](NodeId value) { return graph_.call("float", Type::kFloat, {value}); };
  if (is_nonnegative(id)) return as_float(id);
  // Half of it, with a last bit that says which way to round.
  const NodeId one = constant(id, 1);
  const NodeId half = op(Operator::kBitOr, shifted_right_unsigned(id, one), op(Operator::kBitAnd, id, one));
  const NodeId doubled = op(Operator::kMul, graph_.constant(2.0), as_float(half));
  return graph_.select(op(Operator::kGreaterEqual, id, constant(id, 0)), as_float(id), doubled);
}

Scalar Arithmetic::to_floating(Scalar value, ScalarType to) {
  if (value.type.is_floating()) {
    if (const auto known = graph_.float_value(value.id)) return floating(to, *known);
    const bool narrows = to.base == ScalarType::Base::kFloat;
    if (narrows && precision_ == support::Precision::kFp64) lost_("float");
    return {value.id, to, narrows ? Digits::kExact : value.digits};
  }
  if (value.type.base == ScalarType::Base::kBool) {
    if (const auto known = graph_.bool_value(value.id)) return floating(to, *known ? 1 : 0);
    return {graph_.call("float", Type::kFloat, {value.id}), to};
  }
  const bool is_unsigned = !value.type.is_signed && value.type.bits >= 32;
  if (const auto known = graph_.int_value(value.id); known && (!is_unsigned || *known >= 0)) {
    return {graph_.constant(to.base == ScalarType::Base::kFloat ? static_cast<double>(static_cast<float>(*known))
                                                                : static_cast<double>(*known)),
            to};
  }
  const NodeId made = is_unsigned ? from_unsigned(value.id) : graph_.call("float", Type::kFloat, {value.id});
  const bool is_fp64 = precision_ == support::Precision::kFp64;
  const bool exact =
      graph_.range(value.id).is_inside(is_fp64 ? kExactInFp64 : kExactInFp32) && (!is_unsigned || is_nonnegative(value.id));
  if (is_native(to) || exact) return {made, to};
  // A long that no double is would be rounded twice.
  const bool rounds_twice = !graph_.range(value.id).is_inside(kExactInFp64) || (is_unsigned && value.type.bits == 64);
  if (is_fp64 || rounds_twice) lost_(is_fp64 ? "float" : "double");
  return {made, to, is_fp64 ? Digits::kExact : Digits::kRounded};
}

NodeId Arithmetic::floating_to_int(Scalar value, ScalarType to) {
  if (const auto known = graph_.float_value(value.id)) {
    const bool fits = std::fabs(*known) < 9223372036854775808.0, fits_unsigned = *known > 0 && *known < 18446744073709551616.0;
    if (!fits && fits_unsigned && !to.is_signed)
      return integer(to, static_cast<std::int64_t>(static_cast<std::uint64_t>(*known))).id;
    return integer(to, fits ? static_cast<std::int64_t>(*known) : 0).id;
  }
  const NodeId from = operand(value, "int");
  if (to.bits == 64) return to.is_signed ? floating_to_long(from) : floating_to_unsigned_long(from);
  if (to.is_signed || to.bits < 32) return wrapped(graph_.call("int", Type::kInt, {from}), to);
  const NodeId half = graph_.constant(2147483648.0);
  const NodeId high = graph_.call("int", Type::kInt, {op(Operator::kSub, from, half)});
  return graph_.select(op(Operator::kLess, from, half), graph_.call("int", Type::kInt, {from}),
                       op(Operator::kBitXor, high, graph_.constant(INT32_MIN)));
}

// In parts that floats and ints hold exactly: a high half of 32 bits, 31 bits below it, and the last one.
NodeId Arithmetic::floating_to_long(NodeId value) {
  const auto to_int = [&](NodeId id) { return graph_.call("int", Type::kInt, {id}); };
  const auto to_float = [&](NodeId id) { return graph_.call("float", Type::kFloat, {id}); };
  const auto wide = [&](NodeId id, std::int64_t scale) {
    return op(Operator::kMul, graph_.call("int64", Type::kLong, {id}), graph_.constant_long(scale));
  };
  const NodeId scale = graph_.constant(4294967296.0), two = graph_.constant(2.0);
  const NodeId high = to_int(op(Operator::kDiv, value, scale));
  const NodeId below = op(Operator::kSub, value, op(Operator::kMul, to_float(high), scale));
  const NodeId low = to_int(op(Operator::kDiv, below, two));
  const NodeId last = to_int(op(Operator::kSub, below, op(Operator::kMul, to_float(low), two)));
  return op(Operator::kAdd, op(Operator::kAdd, wide(high, std::int64_t{1} << 32), wide(low, 2)), wide(last, 1));
}

NodeId Arithmetic::floating_to_unsigned_long(NodeId value) {
  const NodeId half = graph_.constant(9223372036854775808.0);
  const NodeId above = floating_to_long(op(Operator::kSub, value, half));
  return graph_.select(op(Operator::kLess, value, half), floating_to_long(value),
                       op(Operator::kBitXor, above, graph_.constant_long(INT64_MIN)));
}

Scalar Arithmetic::call(std::string_view function, std::initializer_list<Scalar> operands) {
  std::vector<NodeId> ids;
  const ScalarType type = operands.begin()->type;
  bool digits_matter = true;
  for (const Scalar& value : operands) ids.push_back(operand(value, function));
  // Of floats these give a float; sqrt of one is rounded once.
  if (function == "floor" || function == "ceil" || function == "round") digits_matter = false;
  if (!is_native(type) && digits_matter && function != "sqrt") lost_(function);
  const bool is_rounded = !is_native(type) && function == "sqrt";
  return {graph_.call(function, Type::kFloat, std::move(ids)), type, is_rounded ? Digits::kRounded : Digits::kExact};
}

}  // namespace flexjit::cxx
