// One small function for each kind of operation.
#include "dsl/check/fold.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <type_traits>
#include <vector>

#include "support/floor_division.h"

namespace flexjit::dsl {
namespace {

std::uint32_t bits_of(std::int32_t value) { return static_cast<std::uint32_t>(value); }

std::int32_t floor_div(std::int32_t a, std::int32_t b) {
  if (b == 0) return 0;
  const std::int64_t quotient = std::int64_t{a} / b;
  const bool round_down = std::int64_t{a} % b != 0 && ((a < 0) != (b < 0));
  return static_cast<std::int32_t>(quotient - (round_down ? 1 : 0));
}

std::uint32_t fold_int(Operator op, std::int32_t x, std::int32_t y) {
  const std::uint32_t a = bits_of(x);
  const std::uint32_t b = bits_of(y);
  switch (op) {
    case Operator::kNegate: return 0u - a;
    case Operator::kBitNot: return ~a;
    case Operator::kAdd: return a + b;
    case Operator::kSub: return a - b;
    case Operator::kMul: return a * b;
    case Operator::kFloorDiv: return bits_of(floor_div(x, y));
    case Operator::kMod: return y == 0 ? 0 : a - bits_of(floor_div(x, y)) * b;
    case Operator::kShiftLeft: return a << (b & 31);
    case Operator::kShiftRight: return bits_of(x >> (b & 31));
    case Operator::kBitAnd: return a & b;
    case Operator::kBitXor: return a ^ b;
    case Operator::kBitOr: return a | b;
    case Operator::kNone:
    case Operator::kNot:
    case Operator::kDiv:
    case Operator::kEqual:
    case Operator::kNotEqual:
    case Operator::kLess:
    case Operator::kLessEqual:
    case Operator::kGreater:
    case Operator::kGreaterEqual:
    case Operator::kAnd:
    case Operator::kOr: return 0;
  }
  return 0;
}

// In double, whose rounding once more to fp32 changes nothing for operands in fp32 (53 >= 2 * 24 + 2 bits).
double fold_float(Operator op, double a, double b) {
  if (op == Operator::kNegate) return -a;
  if (op == Operator::kAdd) return a + b;
  if (op == Operator::kSub) return a - b;
  if (op == Operator::kMul) return a * b;
  if (op == Operator::kDiv) return a / b;
  return op == Operator::kFloorDiv ? support::floor_quotient(a, b) : support::floor_modulo(a, b);
}

bool fold_bool(Operator op, bool a, bool b) {
  if (op == Operator::kNot || op == Operator::kBitNot) return !a;
  if (op == Operator::kAnd || op == Operator::kBitAnd) return a && b;
  if (op == Operator::kOr || op == Operator::kBitOr) return a || b;
  return a != b;  // kBitXor
}

bool is_comparison(Operator op) { return op >= Operator::kEqual && op <= Operator::kGreaterEqual; }

// An int is exact in double, NaN compares as it should.
double widened(Constant value) { return value.type == Type::kFloat ? value.as_float() : static_cast<double>(value.as_int()); }

bool fold_comparison(Operator op, double a, double b) {
  if (op == Operator::kEqual) return a == b;
  if (op == Operator::kNotEqual) return a != b;
  if (op == Operator::kLess) return a < b;
  if (op == Operator::kLessEqual) return a <= b;
  if (op == Operator::kGreater) return a > b;
  return a >= b;
}

Constant fold_operator(const TypedNode& node, std::span<const Constant> operands) {
  const Constant a = operands.front();
  const Constant b = operands.back();
  if (is_comparison(node.op)) return Constant::of(fold_comparison(node.op, widened(a), widened(b)));
  switch (node.type) {
    case Type::kInt: return {Type::kInt, fold_int(node.op, a.as_int(), b.as_int())};
    case Type::kFloat: return Constant::of(fold_float(node.op, a.as_float(), b.as_float()));
    case Type::kBool: return Constant::of(fold_bool(node.op, a.as_bool(), b.as_bool()));
    case Type::kLong: break;  // never constant
  }
  return {};
}

std::int32_t saturated(double value) {
  if (std::isnan(value)) return 0;
  if (value >= 2147483648.0) return std::numeric_limits<std::int32_t>::max();
  if (value < -2147483648.0) return std::numeric_limits<std::int32_t>::min();
  return static_cast<std::int32_t>(value);
}

Constant fold_conversion(Type to, Constant value) {
  switch (to) {
    case Type::kInt: return value.type == Type::kFloat ? Constant::of(saturated(value.as_float())) : Constant{to, value.bits};
    case Type::kFloat: return Constant::of(widened(value));
    case Type::kBool: return {to, value.bits};
    case Type::kLong: break;  // never constant
  }
  return {};
}

template <typename Number>
Number fold_numeric(Function function, std::span<const Number> x) {
  const auto larger = [](Number a, Number b) { return a > b ? a : b; };
  const auto smaller = [](Number a, Number b) { return a < b ? a : b; };
  Number result = x[0];
  if (function == Function::kClamp) return smaller(larger(x[0], x[1]), x[2]);
  if (function == Function::kRelu) return larger(x[0], Number{0});
  if (function == Function::kMin || function == Function::kMax) {
    for (Number value : x.subspan(1)) result = function == Function::kMin ? smaller(result, value) : larger(result, value);
    return result;
  }
  // abs: INT_MIN stays, through unsigned arithmetic.
  if constexpr (std::is_same_v<Number, double>) return std::fabs(result);
  return result < 0 ? static_cast<Number>(0u - static_cast<std::uint32_t>(result)) : result;
}

// In double, rounded once at the end.
double fold_function(Function function, double x, double y) {
  switch (function) {
    case Function::kFloor: return std::floor(x);
    case Function::kCeil: return std::ceil(x);
    case Function::kRound: return std::nearbyint(x);
    case Function::kSqrt: return std::sqrt(x);
    case Function::kRsqrt: return 1 / std::sqrt(x);
    case Function::kExp: return std::exp(x);
    case Function::kExp2: return std::exp2(x);
    case Function::kLog: return std::log(x);
    case Function::kLog2: return std::log2(x);
    case Function::kLog1p: return std::log1p(x);
    case Function::kTanh: return std::tanh(x);
    case Function::kSigmoid: return 1 / (1 + std::exp(-x));
    case Function::kErf: return std::erf(x);
    case Function::kGelu: return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2));
    case Function::kSilu: return x / (1 + std::exp(-x));
    case Function::kSin: return std::sin(x);
    case Function::kCos: return std::cos(x);
    case Function::kPow: return std::pow(x, y);
    case Function::kAbs:
    case Function::kMin:
    case Function::kMax:
    case Function::kClamp:
    case Function::kRelu:
    case Function::kInt:
    case Function::kInt64:
    case Function::kFloat:
    case Function::kBool:
    case Function::kWhere:
    case Function::kDot: return 0;
  }
  return 0;
}

Constant fold_call(const TypedNode& node, std::span<const Constant> operands) {
  if (info_of(node.function).rule == FunctionRule::kFloat) {
    return Constant::of(fold_function(node.function, operands.front().as_float(), operands.back().as_float()));
  }
  std::vector<std::int32_t> ints;
  std::vector<double> floats;
  for (Constant operand : operands) {
    ints.push_back(operand.as_int());
    floats.push_back(operand.as_float());
  }
  if (node.type == Type::kInt) return Constant::of(fold_numeric<std::int32_t>(node.function, ints));
  return Constant::of(fold_numeric<double>(node.function, floats));
}

Constant fold_exactly(const TypedNode& node, std::span<const Constant> operands) {
  switch (node.kind) {
    case TypedKind::kOperator: return fold_operator(node, operands);
    case TypedKind::kSelect: return operands[0].as_bool() ? operands[1] : operands[2];
    case TypedKind::kConvert: return fold_conversion(node.type, operands[0]);
    case TypedKind::kCall: return fold_call(node, operands);
    case TypedKind::kMember:
      return Constant::of(std::any_of(operands.begin() + 1, operands.end(),
                                      [&](Constant element) { return widened(element) == widened(operands[0]); }));
    case TypedKind::kConst:
    case TypedKind::kBuiltin:
    case TypedKind::kParam:
    case TypedKind::kRead:
    case TypedKind::kDot: break;
  }
  return {};
}

}  // namespace

Constant fold(const TypedNode& node, std::span<const Constant> operands, support::Precision precision) {
  const Constant value = fold_exactly(node, operands);
  return value.type == Type::kFloat ? Constant::of(support::rounded(precision, value.as_float())) : value;
}

}  // namespace flexjit::dsl
