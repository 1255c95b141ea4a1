// any(n in low..high : e), all(...), sum(...) -> e once a value of n, joined. Nothing behind the checker knows reductions: a
// bound that is known only at run becomes a condition before each term, up to the largest value that it can have.
#include <algorithm>

#include "dsl/check/checker.h"
#include "dsl/vocabulary/vocabulary.h"

namespace flexjit::dsl {
namespace {

// What a builtin call or a conditional never exceeds follows from some of its operands.
std::optional<std::int64_t> least_of(std::optional<std::int64_t> a, std::optional<std::int64_t> b) {
  return a && b ? std::min(*a, *b) : (a ? a : b);
}

}  // namespace

// A bare param is held to the limit whenever it is bound.
std::optional<std::int64_t> Checker::largest_bound(TypedId id) const {
  const TypedNode& node = build_.node(id);
  if (node.constant) return node.constant->as_int();
  if (node.kind == TypedKind::kParam) return kMaxParamBound;
  if (node.kind != TypedKind::kCall) return std::nullopt;
  const auto operands = checked_.operands_of(id);
  if (node.function == Function::kClamp) return largest_bound(operands[2]);
  if (node.function != Function::kMin) return std::nullopt;
  std::optional<std::int64_t> least;
  for (TypedId operand : operands) least = least_of(least, largest_bound(operand));
  return least;
}

bool Checker::limit_param(std::uint32_t slot, Span span) {
  CheckedParam& param = checked_.params[slot];
  param.largest = kMaxParamBound;
  if (!param.has_default || std::get<std::int32_t>(param.default_value) <= kMaxParamBound) return true;
  report(Kind::kReductionBound, span,
         {std::to_string(kMaxIterations), "; a param alone may be at most " + std::to_string(kMaxParamBound) +
                                              ", so bound it by " + quoted("min(" + param.name + ", ...)")});
  return false;
}

std::optional<Checker::Iterations> Checker::check_bounds(ExprId id) {
  const auto bounds = ast_->operands_of(id).first(2);
  const Operand low = check(bounds[0]), high = check(bounds[1]);
  if (!low.id.valid() || !high.id.valid()) return std::nullopt;
  const std::string what = "a bound of " + quoted(ast_->expr(id).name.text);
  for (const Operand& bound : {low, high}) {
    if (build_.type_of(bound.id) == Type::kInt) continue;
    report(Kind::kOperandType, bound.span, {what, "an int", type_name(build_.type_of(bound.id))});
    return std::nullopt;
  }
  const std::optional<std::int64_t> largest = largest_bound(high.id);
  const TypedNode& first = build_.node(low.id);
  const std::string most = std::to_string(kMaxIterations);
  if (!first.constant || !largest) {
    report(Kind::kReductionBound, first.constant ? high.span : low.span, {most, ""});
    return std::nullopt;
  }
  const std::int64_t begin = first.constant->as_int();
  if (*largest - begin > kMaxIterations) {
    report(Kind::kReductionBound, join(low.span, high.span), {most, ""});
    return std::nullopt;
  }
  const TypedNode& last = build_.node(high.id);
  if (last.kind == TypedKind::kParam && !limit_param(last.payload, high.span)) return std::nullopt;
  return Iterations{begin, *largest, last.constant ? TypedId{} : high.id};
}

// The value of one term, for n = number; the first visit also tells whether anything reads n.
Operand Checker::check_term(ExprId id, std::int64_t number) {
  const Expr& expr = ast_->expr(id);
  const Identifier& variable = ast_->block_lets[expr.value];
  const ExprId body = ast_->operands_of(id)[2];
  const std::size_t locals = scope_.local_count();
  const TypedId value = build_.constant(Constant::of(static_cast<std::int32_t>(number)), variable.span);
  scope_.define_local({.name = variable.text, .kind = SymbolKind::kValue, .value = value, .span = variable.span});
  const Operand term = check(body);
  const bool is_read = scope_.local(locals).is_read;
  const auto known = [&](const Identifier& name) { return name.span == variable.span; };
  if (!is_read && std::ranges::none_of(unused_lets_, known)) unused_lets_.push_back(variable);
  scope_.drop_locals(locals);
  return term;
}

bool Checker::require_term(const Operand& term, std::string_view name) {
  const std::string what = quoted(name);
  return name == "sum" ? require_number(term, what) : require_bool(term, what);
}

// What the terms of no iteration come to.
TypedId Checker::neutral_term(const Expr& expr, Type type) {
  if (expr.name.text != "sum") return build_.constant(Constant::of(expr.name.text == "all"), expr.span);
  return build_.convert(build_.constant(Constant::of(0), expr.span), type, expr.span);
}

TypedId Checker::check_reduction(ExprId id) {
  const Expr& expr = ast_->expr(id);
  const Identifier& variable = ast_->block_lets[expr.value];
  const std::string_view reserved = find_builtin(variable.text) ? "" : why_reserved(variable.text);
  if (!reserved.empty()) report(Kind::kReservedName, variable.span, {quoted(variable.text), reserved});
  const std::optional<Iterations> iterations = check_bounds(id);
  // The body is checked for its own sake where its terms cannot be made, and for its type where there are none.
  const bool is_empty = iterations && iterations->end <= iterations->begin;
  if (!iterations || is_empty || !inlining_) {
    const Operand term = check_term(id, iterations ? iterations->begin : 0);
    if (!term.id.valid() || !require_term(term, expr.name.text) || !iterations) return {};
    return is_empty ? neutral_term(expr, build_.type_of(term.id)) : term.id;
  }
  std::vector<TypedId> terms;
  for (std::int64_t n = iterations->begin; n < iterations->end; ++n) {
    const Operand term = check_term(id, n);
    if (!term.id.valid() || !require_term(term, expr.name.text)) return {};
    terms.push_back(term.id);
  }
  if (expr.name.text == "sum") return sum_of(expr, *iterations, terms);
  if (iterations->count.valid()) {
    for (std::size_t i = 0; i < terms.size(); ++i) terms[i] = only_below(expr, *iterations, i, terms[i]);
  }
  return join_pairs(expr, std::move(terms));
}

TypedId Checker::is_below(const Expr& expr, const Iterations& iterations, std::size_t number) {
  Expr less = expr;
  less.op = Operator::kLess;
  const auto n = static_cast<std::int32_t>(iterations.begin + static_cast<std::int64_t>(number));
  return add_operator(less, Type::kBool, {build_.constant(Constant::of(n), expr.span), iterations.count});
}

TypedId Checker::choose(const Expr& expr, TypedId condition, TypedId yes, TypedId no) {
  if (!yes.valid() || !no.valid()) return {};
  TypedNode node;
  node.kind = TypedKind::kSelect;
  node.type = build_.type_of(yes);
  node.span = expr.span;
  const TypedId ids[] = {condition, yes, no};
  return build_.add(node, ids);
}

// n < count ? term : neutral, so that a term behind the end reads nothing.
TypedId Checker::only_below(const Expr& expr, const Iterations& iterations, std::size_t number, TypedId term) {
  return choose(expr, is_below(expr, iterations, number), term, neutral_term(expr, Type::kBool));
}

// By pairs: the terms stand side by side, neither deep nor one under the condition of another.
TypedId Checker::join_pairs(const Expr& expr, std::vector<TypedId> terms) {
  Expr pair = expr;
  pair.op = expr.name.text == "all" ? Operator::kBitAnd : Operator::kBitOr;
  while (terms.size() > 1) {
    std::vector<TypedId> joined;
    for (std::size_t i = 0; i + 1 < terms.size(); i += 2) {
      joined.push_back(add_operator(pair, Type::kBool, {terms[i], terms[i + 1]}));
    }
    if (terms.size() % 2 == 1) joined.push_back(terms.back());
    terms = std::move(joined);
  }
  return terms[0];
}

// From the first on, because the order shows in floats.
TypedId Checker::sum_of(const Expr& expr, const Iterations& iterations, const std::vector<TypedId>& terms) {
  Expr plus = expr;
  plus.op = Operator::kAdd;
  const Type type = build_.type_of(terms[0]);
  TypedId total;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const TypedId longer = i == 0 ? terms[0] : add_operator(plus, type, {total, terms[i]});
    const TypedId shorter = i == 0 ? neutral_term(expr, type) : total;
    total = iterations.count.valid() ? choose(expr, is_below(expr, iterations, i), longer, shorter) : longer;
    if (!total.valid()) return {};
  }
  return total;
}

}  // namespace flexjit::dsl
