// The type rules of operators.
#include <initializer_list>
#include <utility>

#include "dsl/check/checker.h"

namespace flexjit::dsl {
namespace {

bool is_int(Type type) { return type == Type::kInt || type == Type::kLong; }

std::string both(Type a, Type b) { return std::string(type_name(a)) + " and " + std::string(type_name(b)); }

}  // namespace

TypedId Checker::add_operator(const Expr& expr, Type type, std::initializer_list<TypedId> operands) {
  TypedNode node;
  node.kind = TypedKind::kOperator;
  node.type = type;
  node.op = expr.op;
  node.span = expr.span;
  return build_.add(node, {operands.begin(), operands.size()});
}

bool Checker::require_number(const Operand& operand, std::string_view what) {
  if (build_.type_of(operand.id) != Type::kBool) return true;
  report(Kind::kBoolArithmetic, operand.span, {what});
  return false;
}

bool Checker::require_bool(const Operand& operand, std::string_view what) {
  const Type type = build_.type_of(operand.id);
  if (type == Type::kBool) return true;
  report(Kind::kConditionType, operand.span, {what, type_name(type)});
  return false;
}

bool Checker::unify_numbers(std::vector<Operand>& operands, std::string_view what) {
  Type widest = Type::kInt;
  bool fine = true;
  for (const Operand& operand : operands) {
    if (!operand.id.valid()) return false;
    const Type type = build_.type_of(operand.id);
    if (type == Type::kFloat || (type == Type::kLong && widest == Type::kInt)) widest = type;
    fine &= require_number(operand, what);
  }
  if (!fine) return false;
  for (Operand& operand : operands) operand.id = build_.convert(operand.id, widest, operand.span);
  return !build_.exhausted();
}

TypedId Checker::check_binary(ExprId id) {
  const Expr& expr = ast_->expr(id);
  const auto operands = ast_->operands_of(id);
  const Operand a = check(operands[0]);
  const Operand b = check(operands[1]);
  if (!a.id.valid() || !b.id.valid()) return {};
  switch (expr.op) {
    case Operator::kAdd:
    case Operator::kSub:
    case Operator::kMul:
    case Operator::kDiv:
    case Operator::kFloorDiv:
    case Operator::kMod: return check_arithmetic(expr, a, b);
    case Operator::kShiftLeft:
    case Operator::kShiftRight: return check_shift(expr, a, b);
    case Operator::kBitAnd:
    case Operator::kBitXor:
    case Operator::kBitOr: return check_bits(expr, a, b);
    case Operator::kEqual:
    case Operator::kNotEqual:
    case Operator::kLess:
    case Operator::kLessEqual:
    case Operator::kGreater:
    case Operator::kGreaterEqual: return check_comparison(expr, a, b);
    case Operator::kAnd:
    case Operator::kOr: return check_logic(expr, a, b);
    case Operator::kNone:
    case Operator::kNegate:
    case Operator::kNot:
    case Operator::kBitNot: return {};
  }
  return {};
}

TypedId Checker::check_arithmetic(const Expr& expr, Operand a, Operand b) {
  std::vector<Operand> operands = {a, b};
  const std::string what = quoted(spelling_of(expr.op));
  if (!unify_numbers(operands, what)) return {};
  if (expr.op == Operator::kDiv) {
    for (Operand& operand : operands) operand.id = build_.convert(operand.id, Type::kFloat, operand.span);
    return add_operator(expr, Type::kFloat, {operands[0].id, operands[1].id});
  }
  const Type type = build_.type_of(operands[1].id);
  const TypedNode& divisor = build_.node(b.id);
  const bool divides = expr.op == Operator::kFloorDiv || expr.op == Operator::kMod;
  if (divides && type != Type::kFloat && divisor.constant && divisor.constant->bits == 0) {
    report(Kind::kDivisionByZero, b.span, {what});
    return {};
  }
  return add_operator(expr, type, {operands[0].id, operands[1].id});
}

// Of ints of either width, which become of one.
TypedId Checker::add_int_operator(const Expr& expr, Operand a, Operand b) {
  std::vector<Operand> operands = {a, b};
  if (!unify_numbers(operands, quoted(spelling_of(expr.op)))) return {};
  return add_operator(expr, build_.type_of(operands[0].id), {operands[0].id, operands[1].id});
}

TypedId Checker::check_bits(const Expr& expr, Operand a, Operand b) {
  const Type left = build_.type_of(a.id);
  const Type right = build_.type_of(b.id);
  if (left == Type::kBool && right == Type::kBool) return add_operator(expr, left, {a.id, b.id});
  if (is_int(left) && is_int(right)) return add_int_operator(expr, a, b);
  report(Kind::kOperandType, expr.span, {quoted(spelling_of(expr.op)), "two ints or two bools", both(left, right)});
  return {};
}

TypedId Checker::check_shift(const Expr& expr, Operand a, Operand b) {
  const Type left = build_.type_of(a.id);
  const Type right = build_.type_of(b.id);
  if (is_int(left) && is_int(right)) {
    warn_of_shift_count(b, left == Type::kLong || right == Type::kLong ? 63 : 31);
    return add_int_operator(expr, a, b);
  }
  report(Kind::kOperandType, expr.span, {quoted(spelling_of(expr.op)), "two ints", both(left, right)});
  return {};
}

void Checker::warn_of_shift_count(const Operand& count, std::int32_t most) {
  const std::optional<Constant> constant = build_.node(count.id).constant;
  if (!constant) return;
  const std::int32_t value = constant->as_int();
  if (value >= 0 && value <= most) return;
  warn(Kind::kShiftCount, count.span, {std::to_string(value), std::to_string(value & most), most == 31 ? "five" : "six"});
}

TypedId Checker::check_comparison(const Expr& expr, Operand a, Operand b) {
  const bool left_bool = build_.type_of(a.id) == Type::kBool;
  const bool right_bool = build_.type_of(b.id) == Type::kBool;
  const bool is_equality = expr.op == Operator::kEqual || expr.op == Operator::kNotEqual;
  const std::string what = quoted(spelling_of(expr.op));
  if (left_bool != right_bool || (left_bool && !is_equality)) {
    const std::string_view needs = is_equality ? "two numbers or two bools" : "two numbers";
    report(Kind::kOperandType, expr.span, {what, needs, both(build_.type_of(a.id), build_.type_of(b.id))});
    return {};
  }
  std::vector<Operand> operands = {a, b};
  if (!left_bool && !unify_numbers(operands, what)) return {};
  return add_operator(expr, Type::kBool, {operands[0].id, operands[1].id});
}

TypedId Checker::check_logic(const Expr& expr, Operand a, Operand b) {
  const std::string what = quoted(spelling_of(expr.op));
  const bool left = require_bool(a, what);
  const bool right = require_bool(b, what);
  return left && right ? add_operator(expr, Type::kBool, {a.id, b.id}) : TypedId{};
}

TypedId Checker::check_member(ExprId id) {
  std::vector<Operand> operands;
  for (ExprId operand : ast_->operands_of(id)) operands.push_back(check(operand));
  if (!unify_numbers(operands, "`in`")) return {};
  TypedNode node;
  node.kind = TypedKind::kMember;
  node.type = Type::kBool;
  node.span = ast_->expr(id).span;
  std::vector<TypedId> ids;
  ids.reserve(operands.size());
  for (const Operand& operand : operands) ids.push_back(operand.id);
  return build_.add(node, ids);
}

// operands: condition, yes, no.
TypedId Checker::select(std::string_view what, Span span, const std::vector<Operand>& operands) {
  const Operand& condition = operands[0];
  const bool fine = condition.id.valid() && require_bool(condition, "the condition of " + std::string(what));
  std::vector<Operand> sides = {operands[1], operands[2]};
  if (!sides[0].id.valid() || !sides[1].id.valid()) return {};
  const Type yes = build_.type_of(sides[0].id);
  const Type no = build_.type_of(sides[1].id);
  if ((yes == Type::kBool) != (no == Type::kBool)) {
    report(Kind::kBranchType, span, {what, type_name(yes), type_name(no)});
    return {};
  }
  if (!fine || (yes != Type::kBool && !unify_numbers(sides, what))) return {};
  TypedNode node;
  node.kind = TypedKind::kSelect;
  node.type = build_.type_of(sides[0].id);
  node.span = span;
  const TypedId ids[] = {condition.id, sides[0].id, sides[1].id};
  return build_.add(node, ids);
}

}  // namespace flexjit::dsl
