// Ints are computed once more in fp64, where sums and products of two 32-bit ints are exact enough to see that they left the
// range: what does not fit differs by at least one from what does.
#include "dsl/check/fold_overflow.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace flexjit::dsl {
namespace {

double shifted_left(double value, std::int32_t count) { return std::ldexp(value, static_cast<int>(count & 31)); }

// NaN for operations that cannot leave the range.
double exact_int(const TypedNode& node, Constant first, Constant last) {
  const double a = first.as_int(), b = last.as_int();
  if (node.kind == TypedKind::kCall) return node.function == Function::kAbs ? std::fabs(a) : std::nan("");
  switch (node.op) {
    case Operator::kNegate: return -a;
    case Operator::kAdd: return a + b;
    case Operator::kSub: return a - b;
    case Operator::kMul: return a * b;
    case Operator::kFloorDiv: return b == 0 ? 0 : std::floor(a / b);
    case Operator::kShiftLeft: return shifted_left(a, last.as_int());
    case Operator::kNone:
    case Operator::kNot:
    case Operator::kBitNot:
    case Operator::kDiv:
    case Operator::kMod:
    case Operator::kShiftRight:
    case Operator::kBitAnd:
    case Operator::kBitXor:
    case Operator::kBitOr:
    case Operator::kEqual:
    case Operator::kNotEqual:
    case Operator::kLess:
    case Operator::kLessEqual:
    case Operator::kGreater:
    case Operator::kGreaterEqual:
    case Operator::kAnd:
    case Operator::kOr: break;
  }
  return std::nan("");
}

bool divides_by_zero(const TypedNode& node, Constant divisor) {
  const bool divides = node.op == Operator::kDiv || node.op == Operator::kFloorDiv || node.op == Operator::kMod;
  return node.kind == TypedKind::kOperator && divides && divisor.as_float() == 0;
}

// The infinities of the other functions are poles, as that of log(0.0) and pow(0.0, -1.0), and no overflow.
bool grows(const TypedNode& node, Constant first) {
  if (node.kind == TypedKind::kOperator) return true;
  const bool power = node.function == Function::kPow && first.as_float() != 0;
  return power || node.function == Function::kExp || node.function == Function::kExp2;
}

}  // namespace

bool overflows(const TypedNode& node, std::span<const Constant> operands, Constant result) {
  const Constant first = operands.front(), last = operands.back();
  if (node.kind == TypedKind::kConvert && node.type == Type::kInt && first.type == Type::kFloat) {
    const double value = first.as_float();
    return std::isfinite(value) && std::fabs(std::trunc(value) - result.as_int()) >= 1;
  }
  if (node.kind != TypedKind::kOperator && node.kind != TypedKind::kCall) return false;
  if (node.type == Type::kInt) {
    const double exact = exact_int(node, first, last);
    return std::fabs(exact - result.as_int()) >= 1;  // false for NaN
  }
  if (node.type != Type::kFloat || !std::isinf(result.as_float()) || divides_by_zero(node, last)) return false;
  const bool finite = std::ranges::all_of(operands, [](Constant x) { return std::isfinite(x.as_float()); });
  return finite && grows(node, first);
}

std::string shown(Constant constant) {
  switch (constant.type) {
    case Type::kInt: return fmt::format("{}", constant.as_int());
    case Type::kFloat: return fmt::format("{}", constant.as_float());
    case Type::kBool: return constant.as_bool() ? "true" : "false";
    case Type::kLong: break;  // never constant
  }
  return "";
}

}  // namespace flexjit::dsl
