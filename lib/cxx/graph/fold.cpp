// Operations of the language on ints that are known: floor division, shifts by the lowest bits of their count.
#include "cxx/graph/graph.h"

namespace flexjit::cxx {
namespace {

std::int64_t wrapped(Type type, std::uint64_t value) {
  if (type == Type::kLong) return static_cast<std::int64_t>(value);
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(value));
}

std::int64_t floor_quotient(Type type, std::int64_t a, std::int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return wrapped(type, 0 - static_cast<std::uint64_t>(a));
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

std::int64_t floor_remainder(std::int64_t a, std::int64_t b) {
  if (b == 0 || b == -1) return 0;
  const std::int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

}  // namespace

std::optional<std::int64_t> fold_int(Operator op, Type type, std::int64_t a, std::int64_t b) {
  const auto x = static_cast<std::uint64_t>(a), y = static_cast<std::uint64_t>(b);
  const std::uint64_t count = y & (type == Type::kLong ? 63 : 31);
  switch (op) {
    case Operator::kNegate: return wrapped(type, 0 - x);
    case Operator::kBitNot: return wrapped(type, ~x);
    case Operator::kAdd: return wrapped(type, x + y);
    case Operator::kSub: return wrapped(type, x - y);
    case Operator::kMul: return wrapped(type, x * y);
    case Operator::kFloorDiv: return floor_quotient(type, a, b);
    case Operator::kMod: return floor_remainder(a, b);
    case Operator::kShiftLeft: return wrapped(type, x << count);
    case Operator::kShiftRight: return a >> count;
    case Operator::kBitAnd: return a & b;
    case Operator::kBitXor: return a ^ b;
    case Operator::kBitOr: return a | b;
    default: return std::nullopt;
  }
}

namespace {

std::optional<bool> fold_comparison(Operator op, std::int64_t a, std::int64_t b) {
  switch (op) {
    case Operator::kEqual: return a == b;
    case Operator::kNotEqual: return a != b;
    case Operator::kLess: return a < b;
    case Operator::kLessEqual: return a <= b;
    case Operator::kGreater: return a > b;
    case Operator::kGreaterEqual: return a >= b;
    default: return std::nullopt;
  }
}

}  // namespace

std::optional<NodeId> Graph::folded(Operator op, NodeId a, NodeId b) {
  if (type(a) == Type::kBool) return folded_logic(op, a, b);
  const auto x = int_value(a), y = int_value(b);
  if (x && y) {
    if (const auto holds = fold_comparison(op, *x, *y)) return constant(*holds);
    if (const auto value = fold_int(op, type(a), *x, *y)) return integer(type(a), *value);
  }
  return std::nullopt;
}

std::optional<NodeId> Graph::folded_logic(Operator op, NodeId a, NodeId b) {
  const auto x = bool_value(a), y = bool_value(b);
  const bool are_opposite = unary(Operator::kNot, a) == b;
  if (are_opposite && (op == Operator::kAnd || op == Operator::kOr)) return constant(op == Operator::kOr);
  if (op == Operator::kAnd) {
    if (x) return *x ? b : a;
    if (y) return *y ? a : b;
  }
  if (op == Operator::kOr) {
    if (x) return *x ? a : b;
    if (y) return *y ? b : a;
  }
  if (op == Operator::kEqual || op == Operator::kNotEqual) {
    const bool equal = op == Operator::kEqual;
    if (x && y) return constant((*x == *y) == equal);
    if (y) return *y == equal ? a : unary(Operator::kNot, a);
    if (x) return *x == equal ? b : unary(Operator::kNot, b);
  }
  return std::nullopt;
}

std::optional<NodeId> Graph::folded_call(std::string_view function, Type to, std::span<const NodeId> operands) {
  const auto x = int_value(operands[0]);
  if (function == "int64" && x) return constant_long(*x);
  if (to == Type::kInt && function == "int") {
    if (const auto truth = bool_value(operands[0])) return constant(*truth ? 1 : 0);
    if (x && Range{*x, *x}.is_inside(kAnyInt)) return integer(Type::kInt, *x);
  }
  if (to != Type::kInt && to != Type::kLong) return std::nullopt;
  if (function == "abs" && x) return integer(to, *x < 0 ? fold_int(Operator::kNegate, to, *x, 0).value_or(0) : *x);
  const auto y = operands.size() > 1 ? int_value(operands[1]) : std::nullopt;
  if (!x || !y) return std::nullopt;
  if (function == "min") return *x < *y ? operands[0] : operands[1];
  if (function == "max") return *x > *y ? operands[0] : operands[1];
  return std::nullopt;
}

}  // namespace flexjit::cxx
