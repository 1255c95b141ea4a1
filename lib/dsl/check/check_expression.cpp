// Expression nodes -> typed nodes: literals, names, blocks and conditionals. Operators and calls have files of their own.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

#include "dsl/check/checker.h"
#include "dsl/findings/foreign_names.h"
#include "dsl/findings/spelling.h"

namespace flexjit::dsl {
namespace {

std::string_view range_of_floats(support::Precision precision) {
  return precision == support::Precision::kFp32 ? "fp32, whose numbers reach from 1e-45 to 3.4e38"
                                                : "fp64, whose numbers reach from 5e-324 to 1.8e308";
}

}  // namespace

Operand Checker::check(ExprId id) { return {check_expression(id), ast_->expr(id).span}; }

// Every recursion of the checker passes here, so this bounds its depth and its work.
TypedId Checker::check_expression(ExprId id) {
  if (level_ >= kMaxLevels || ++steps_ > kMaxSteps) build_.set_exhausted();
  if (!id.valid() || build_.exhausted()) return {};
  ++level_;
  const Expr& expr = ast_->expr(id);
  TypedId result;
  switch (expr.kind) {
    case ExprKind::kInt: result = check_int(expr); break;
    case ExprKind::kFloat: result = check_float(expr); break;
    case ExprKind::kName: result = check_name(expr); break;
    case ExprKind::kUnary: result = check_unary(id); break;
    case ExprKind::kBinary: result = check_binary(id); break;
    case ExprKind::kConditional: result = check_conditional(id); break;
    case ExprKind::kMember: result = check_member(id); break;
    case ExprKind::kIndex: result = check_index(id); break;
    case ExprKind::kSlice: report(Kind::kSliceOutsideDot, expr.span, {}); break;
    case ExprKind::kCall: result = check_call(id); break;
    case ExprKind::kReduction: result = check_reduction(id); break;
    case ExprKind::kBlock: result = check_block(id); break;
  }
  --level_;
  return result;
}

TypedId Checker::check_int(const Expr& expr) {
  const auto value = static_cast<std::int64_t>(expr.value);
  if (value > std::numeric_limits<std::int32_t>::max()) {
    report(Kind::kIntRange, expr.span, {quoted(source_of(expr.span))});
    return {};
  }
  return build_.constant(Constant::of(static_cast<std::int32_t>(value)), expr.span);
}

TypedId Checker::check_float(const Expr& expr) {
  const auto value = std::bit_cast<double>(expr.value);
  const double kept = support::rounded(checked_.precision, value);
  if (std::isinf(kept) || (kept == 0 && value != 0)) {
    report(Kind::kFloatRange, expr.span, {quoted(source_of(expr.span)), range_of_floats(checked_.precision)});
    return {};
  }
  return build_.constant(Constant::of(value), expr.span);
}

TypedId Checker::check_name(const Expr& expr) {
  const Symbol* symbol = look_up(expr.name.text);
  if (symbol != nullptr) return check_symbol(expr, *symbol);
  bool found = false;
  const TypedId builtin = check_builtin_name(expr, found);
  if (!found) report_unknown_name(expr.name);
  return builtin;
}

TypedId Checker::check_builtin_name(const Expr& expr, bool& found) {
  const std::string_view name = expr.name.text;
  found = true;
  if (name == "true" || name == "false") return build_.constant(Constant::of(name == "true"), expr.span);
  if (name == "inf" || name == "pi") {
    const double value = name == "pi" ? std::numbers::pi : std::numeric_limits<double>::infinity();
    return build_.constant(Constant::of(value), expr.span);
  }
  if (in(ResultKind::kFeature) && name == "x") {
    has_plain_row_ = true;
    return add_builtin(expr, Builtin::kRowValue);
  }
  if (in(ResultKind::kFeature) && name == "feature") return add_builtin(expr, Builtin::kFeature);
  const std::optional<Builtin> builtin = find_builtin(name);
  found = builtin.has_value();
  if (!found) return {};
  if (*builtin == Builtin::kScore && in(ResultKind::kMask)) {
    report(Kind::kScoreInMask, expr.span, {""});
    return {};
  }
  return add_builtin(expr, *builtin);
}

TypedId Checker::add_builtin(const Expr& expr, Builtin builtin) {
  const bool is_float = builtin == Builtin::kScore || builtin == Builtin::kRowValue || builtin == Builtin::kSumSq;
  TypedNode node;
  node.kind = TypedKind::kBuiltin;
  node.type = is_float ? Type::kFloat : Type::kInt;
  node.payload = static_cast<std::uint32_t>(builtin);
  node.from_score = builtin == Builtin::kScore;
  node.span = expr.span;
  return build_.add(node, {});
}

TypedId Checker::check_symbol(const Expr& expr, const Symbol& symbol) {
  const std::string name(symbol.name);
  switch (symbol.kind) {
    case SymbolKind::kBroken: return {};
    case SymbolKind::kConst:
    case SymbolKind::kValue:
      if (in(ResultKind::kMask) && symbol.value.valid() && build_.node(symbol.value).from_score) {
        report(Kind::kScoreInMask, expr.span, {", as " + quoted(name) + " does"});
        return {};
      }
      return symbol.value;
    case SymbolKind::kParam: {
      TypedNode node;
      node.kind = TypedKind::kParam;
      node.type = checked_.params[symbol.slot].type;
      node.payload = symbol.slot;
      node.span = expr.span;
      return build_.add(node, {});
    }
    case SymbolKind::kBuffer: {
      const std::size_t rank = checked_.buffers[symbol.slot].extents.size();
      const std::string example = name + (rank == 1 ? "[h]" : "[h, ...]");
      report(Kind::kMissingIndex, expr.span,
             {quoted(name), rank == 1 ? "1 index" : std::to_string(rank) + " indices", quoted(example)});
      return {};
    }
    case SymbolKind::kFunction: report(Kind::kMissingCall, expr.span, {quoted(name), quoted(name + "(...)")}); return {};
  }
  return {};
}

bool Checker::defined_later(std::string_view name) const {
  const auto defines = [&](const Statement& statement) { return !statement.is_result() && statement.name.text == name; };
  const auto first = ast_->statements.begin() + static_cast<std::ptrdiff_t>(statement_index_);
  return std::any_of(first, ast_->statements.end(), defines);
}

void Checker::report_unknown_name(const Identifier& name) {
  if (diagnostics_.full()) return report(Kind::kUnknownName, name.span, {});
  const std::string shown = quoted(name.text);
  if (find_function(name.text)) return report(Kind::kMissingCall, name.span, {shown, quoted(std::string(name.text) + "(...)")});
  if (defined_later(name.text)) return report(Kind::kUsedBeforeDefinition, name.span, {shown});
  report(Kind::kUnknownName, name.span, {shown, name_hint(name.text)});
}

// A name of the text itself is the likeliest; then one that another system uses; then a builtin that is spelled alike, but
// never one of the other side: q_... is no misspelt kv_...
std::string Checker::name_hint(std::string_view name) const {
  std::vector<std::string_view> candidates = scope_.visible_names();
  const bool like_own = !did_you_mean(name, candidates).empty();
  if (!like_own) {
    if (std::string hint = foreign_value_hint(name); !hint.empty()) return hint;
  }
  const auto is_side = [](char c) { return c == 'q' || c == 'k'; };
  for (std::string_view builtin : value_names()) {
    const bool other_side = is_side(name[0]) && is_side(builtin[0]) && name[0] != builtin[0];
    if (!other_side) candidates.push_back(builtin);
  }
  return did_you_mean(name, candidates);
}

// (let a = ...; let b = ...; e): each let sees those before it.
TypedId Checker::check_block(ExprId id) {
  const Expr& expr = ast_->expr(id);
  const auto operands = ast_->operands_of(id);
  const std::size_t first_local = scope_.local_count();
  for (std::size_t i = 0; i + 1 < operands.size(); ++i) {
    const Identifier& name = ast_->block_lets[expr.value + i];
    const std::string_view reserved = find_builtin(name.text) ? "" : why_reserved(name.text);
    if (!reserved.empty()) report(Kind::kReservedName, name.span, {quoted(name.text), reserved});
    if (scope_.find_local(name.text, first_local) != nullptr) report(Kind::kDuplicateName, name.span, {quoted(name.text), ""});
    const TypedId value = check_expression(operands[i]);
    scope_.define_local({.name = name.text,
                         .kind = value.valid() ? SymbolKind::kValue : SymbolKind::kBroken,
                         .value = value,
                         .span = name.span});
  }
  const TypedId result = check_expression(operands.back());
  for (std::size_t i = 0; i + 1 < operands.size(); ++i) {
    if (!scope_.local(first_local + i).is_read) unused_lets_.push_back(ast_->block_lets[expr.value + i]);
  }
  scope_.drop_locals(first_local);
  return result;
}

TypedId Checker::check_unary(ExprId id) {
  const Expr& expr = ast_->expr(id);
  const ExprId inner = ast_->operands_of(id)[0];
  const Expr& literal = ast_->expr(inner);
  // The one int that exists only with its minus.
  constexpr std::uint64_t kIntMinMagnitude = 2147483648u;
  if (expr.op == Operator::kNegate && literal.kind == ExprKind::kInt && literal.value == kIntMinMagnitude) {
    return build_.constant(Constant::of(std::numeric_limits<std::int32_t>::min()), expr.span);
  }
  const Operand operand = check(inner);
  if (!operand.id.valid()) return {};
  const std::string what = quoted(spelling_of(expr.op));
  const Type type = build_.type_of(operand.id);
  if (expr.op == Operator::kNot) {
    return require_bool(operand, what) ? add_operator(expr, Type::kBool, {operand.id}) : TypedId{};
  }
  if (expr.op == Operator::kNegate) return require_number(operand, what) ? add_operator(expr, type, {operand.id}) : TypedId{};
  if (type == Type::kFloat) {
    report(Kind::kOperandType, operand.span, {what, "an int or a bool", "float"});
    return {};
  }
  return add_operator(expr, type, {operand.id});
}

TypedId Checker::check_conditional(ExprId id) {
  const auto operands = ast_->operands_of(id);
  const Operand condition = check(operands[0]);
  const Operand yes = check(operands[1]);
  const Operand no = check(operands[2]);
  return select("`? :`", ast_->expr(id).span, {condition, yes, no});
}

}  // namespace flexjit::dsl
