// Calls of builtin and user functions, reads of buffers, and dot.
#include <algorithm>

#include "dsl/check/checker.h"
#include "dsl/findings/foreign_names.h"
#include "dsl/findings/spelling.h"

namespace flexjit::dsl {
namespace {

std::string count_of(std::size_t count, std::string_view one, std::string_view many) {
  return std::to_string(count) + " " + std::string(count == 1 ? one : many);
}

}  // namespace

TypedId Checker::check_call(ExprId id) {
  const Expr& expr = ast_->expr(id);
  const Symbol* symbol = look_up(expr.name.text);
  if (symbol != nullptr && symbol->kind == SymbolKind::kFunction) return check_user_call(id, symbol->slot);
  if (symbol != nullptr && symbol->kind == SymbolKind::kBroken) return {};
  if (const std::optional<Function> function = find_function(expr.name.text)) return check_builtin_call(id, *function);
  if (symbol == nullptr && in(ResultKind::kFeature) && expr.name.text == builtin_name(Builtin::kSumSq))
    return check_sum_of_squares(id);

  if (symbol == nullptr && diagnostics_.full()) {
    report(Kind::kUnknownFunction, expr.name.span, {});
    return {};
  }
  const std::string name = quoted(expr.name.text);
  const bool is_builtin = find_builtin(expr.name.text).has_value();
  if (symbol != nullptr || is_builtin) {
    const bool is_buffer = symbol != nullptr && symbol->kind == SymbolKind::kBuffer;
    const std::string hint = is_buffer ? "; read it with " + quoted(std::string(expr.name.text) + "[...]") : "";
    report(Kind::kNotAFunction, expr.name.span, {name, symbol != nullptr ? describe(symbol->kind) : "a builtin value", hint});
  } else if (defined_later(expr.name.text)) {
    report(Kind::kUsedBeforeDefinition, expr.name.span, {name});
  } else {
    std::vector<std::string_view> candidates(function_names().begin(), function_names().end());
    for (const UserFunction& function : functions_) candidates.push_back(function.statement->name.text);
    const std::string foreign = foreign_function_hint(expr.name.text);
    report(Kind::kUnknownFunction, expr.name.span,
           {name, foreign.empty() ? did_you_mean(expr.name.text, candidates) : foreign});
  }
  return {};
}

bool Checker::check_arity(const Expr& expr, std::uint32_t fewest, std::uint32_t most) {
  if (expr.operand_count >= fewest && expr.operand_count <= most) return true;
  std::string wanted = count_of(fewest, "argument", "arguments");
  if (fewest != most) wanted = std::to_string(fewest) + " to " + count_of(most, "argument", "arguments");
  report(Kind::kWrongArity, expr.span, {quoted(expr.name.text), wanted, std::to_string(expr.operand_count)});
  return false;
}

TypedId Checker::check_builtin_call(ExprId id, Function function) {
  const Expr& expr = ast_->expr(id);
  const FunctionInfo& info = info_of(function);
  if (!check_arity(expr, info.min_arguments, info.max_arguments)) return {};
  if (info.rule == FunctionRule::kDot) return check_dot(id);
  std::vector<Operand> arguments;
  for (ExprId argument : ast_->operands_of(id)) arguments.push_back(check(argument));
  const std::string what = quoted(info.name);
  if (info.rule == FunctionRule::kWhere) return select(what, expr.span, arguments);
  if (info.rule == FunctionRule::kCast) {
    // No statement can declare the type of 64 bits, so that its name is none of the types'.
    return check_cast(expr, function == Function::kInt64 ? Type::kLong : *find_type(info.name), arguments[0]);
  }

  if (!unify_numbers(arguments, what)) return {};
  TypedNode node;
  node.kind = TypedKind::kCall;
  node.function = function;
  node.span = expr.span;
  std::vector<TypedId> ids;
  for (const Operand& argument : arguments) {
    const bool is_float = info.rule == FunctionRule::kFloat;
    ids.push_back(is_float ? build_.convert(argument.id, Type::kFloat, argument.span) : argument.id);
    if (!ids.back().valid()) return {};
  }
  node.type = build_.type_of(ids[0]);
  return build_.add(node, ids);
}

TypedId Checker::check_cast(const Expr& expr, Type to, const Operand& operand) {
  if (!operand.id.valid()) return {};
  const Type from = build_.type_of(operand.id);
  if (to == Type::kBool && from != Type::kBool) {
    const TypedId zero = build_.convert(build_.constant(Constant::of(0), expr.span), from, expr.span);
    Expr not_equal = expr;
    not_equal.op = Operator::kNotEqual;
    return add_operator(not_equal, Type::kBool, {operand.id, zero});
  }
  if (to == Type::kLong && from == Type::kFloat) {
    report(Kind::kOperandType, operand.span, {quoted(expr.name.text), "an int or a bool", "float; write `int64(int(x))`"});
    return {};
  }
  return build_.convert(operand.id, to, expr.span);
}

TypedId Checker::check_user_call(ExprId id, std::uint32_t function_index) {
  const Expr& expr = ast_->expr(id);
  const Statement& definition = *functions_[function_index].statement;
  std::vector<Operand> arguments;
  bool fine = true;
  for (ExprId argument : ast_->operands_of(id)) {
    arguments.push_back(check(argument));
    fine &= arguments.back().id.valid();
  }
  if (!functions_[function_index].complete) {
    report(Kind::kRecursion, expr.span, {quoted(definition.name.text)});
    return {};
  }
  const auto count = static_cast<std::uint32_t>(definition.arguments.size());
  if (!check_arity(expr, count, count) || !fine || !inlining_) return {};
  return inline_call(expr, functions_[function_index], arguments);
}

TypedId Checker::inline_call(const Expr& expr, UserFunction& function, const std::vector<Operand>& arguments) {
  if (function.broken) return {};
  const Scope::Frame caller = scope_.enter_function(function.visible_globals);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const Identifier& name = function.statement->arguments[i];
    scope_.define_local({.name = name.text, .kind = SymbolKind::kValue, .value = arguments[i].id, .span = name.span});
  }
  // The outermost call is where the user looks first.
  const std::string suffix = diagnostics_.suffix();
  if (suffix.empty()) diagnostics_.set_suffix(" (in " + quoted(expr.name.text) + ", called" + at_line(expr.span) + ")");
  const TypedId result = check_expression(function.statement->value);
  diagnostics_.set_suffix(suffix);
  scope_.leave_function(caller);
  return result;
}

const Symbol* Checker::find_buffer(const Identifier& name) {
  const Symbol* symbol = look_up(name.text);
  if (symbol != nullptr && symbol->kind == SymbolKind::kBuffer) return symbol;
  if (symbol != nullptr && symbol->kind == SymbolKind::kBroken) return nullptr;
  if (symbol != nullptr) {
    report(Kind::kNotABuffer, name.span, {quoted(name.text), describe(symbol->kind)});
  } else if (const std::string_view reserved = why_reserved(name.text); !reserved.empty()) {
    report(Kind::kNotABuffer, name.span, {quoted(name.text), reserved});
  } else {
    report_unknown_name(name);
  }
  return nullptr;
}

// The first `count` operands of an index node as ints. One of 64 bits saturates, and is then outside any buffer, as it was
// before.
bool Checker::check_indices(ExprId id, std::size_t count, std::vector<TypedId>& indices) {
  bool fine = true;
  for (std::size_t i = 0; i < count; ++i) {
    const Operand index = check(ast_->operands_of(id)[i]);
    const bool is_long = index.id.valid() && build_.type_of(index.id) == Type::kLong;
    indices.push_back(is_long ? build_.convert(index.id, Type::kInt, index.span) : index.id);
    fine &= indices.back().valid();
    if (!index.id.valid() || is_long || build_.type_of(index.id) == Type::kInt) continue;
    report(Kind::kIndexType, index.span, {type_name(build_.type_of(index.id)), "; write `int(...)`"});
    fine = false;
  }
  return fine;
}

TypedId Checker::check_index(ExprId id) {
  const Expr& expr = ast_->expr(id);
  const Symbol* symbol = find_buffer(expr.name);
  std::vector<TypedId> indices;
  if (!check_indices(id, expr.operand_count, indices) || symbol == nullptr) return {};
  const CheckedBuffer& buffer = checked_.buffers[symbol->slot];
  if (buffer.extents.size() != indices.size()) {
    report(Kind::kWrongRank, expr.span,
           {quoted(buffer.name), count_of(buffer.extents.size(), "dimension", "dimensions"),
            count_of(indices.size(), "index", "indices")});
    return {};
  }
  TypedNode node;
  node.kind = TypedKind::kRead;
  node.type = type_of_elements(buffer.dtype);
  node.payload = symbol->slot;
  node.reads = true;
  node.span = expr.span;
  return build_.add(node, indices);
}

bool Checker::is_row(ExprId id) const {
  const Expr& expr = ast_->expr(id);
  return in(ResultKind::kFeature) && expr.kind == ExprKind::kName && expr.name.text == builtin_name(Builtin::kRowValue);
}

TypedId Checker::check_sum_of_squares(ExprId id) {
  const Expr& expr = ast_->expr(id);
  if (!check_arity(expr, 1, 1)) return {};
  if (is_row(ast_->operands_of(id)[0])) return add_builtin(expr, Builtin::kSumSq);
  report(Kind::kProjection, expr.span, {"`sumsq` takes the row itself, as in sumsq(x)"});
  return {};
}

// dot(W, x): element `feature` of the product of a matrix with the row.
TypedId Checker::check_projection(ExprId id) {
  const Expr& expr = ast_->expr(id);
  const Expr& matrix = ast_->expr(ast_->operands_of(id)[0]);
  if (matrix.kind != ExprKind::kName) {
    report(Kind::kProjection, matrix.span, {"the first argument of dot(..., x) is the name of a buffer"});
    return {};
  }
  const Symbol* symbol = find_buffer(matrix.name);
  if (symbol == nullptr) return {};
  const CheckedBuffer& buffer = checked_.buffers[symbol->slot];
  if (buffer.extents.size() != 2 || type_of_elements(buffer.dtype) != Type::kFloat) {
    report(
        Kind::kProjection, matrix.span,
        {quoted(buffer.name) + " holds " + std::string(name_of(buffer.dtype)) + " in " +
         count_of(buffer.extents.size(), "dimension", "dimensions") + "; a matrix (features, head_dim) of floats is needed"});
    return {};
  }
  if (checked_.projection.value_or(symbol->slot) != symbol->slot) {
    report(Kind::kProjection, matrix.span,
           {quoted(checked_.buffers[*checked_.projection].name) + " is multiplied with x too; a feature map has one matrix"});
    return {};
  }
  checked_.projection = symbol->slot;
  return add_builtin(expr, Builtin::kRowValue);
}

TypedId Checker::check_dot(ExprId id) {
  const Expr& expr = ast_->expr(id);
  if (is_row(ast_->operands_of(id)[1])) return check_projection(id);
  DotRead dot;
  std::vector<TypedId> indices;
  const bool first = check_dot_row(ast_->operands_of(id)[0], dot.buffer_a, indices);
  const bool second = check_dot_row(ast_->operands_of(id)[1], dot.buffer_b, indices);
  if (!first || !second || !check_dot_extents(expr.span, dot)) return {};
  TypedNode node;
  node.kind = TypedKind::kDot;
  node.type = Type::kFloat;
  node.payload = static_cast<std::uint32_t>(checked_.dots.size());
  node.reads = true;
  node.span = expr.span;
  checked_.dots.push_back(dot);
  return build_.add(node, indices);
}

bool Checker::check_dot_row(ExprId id, std::uint32_t& buffer_slot, std::vector<TypedId>& indices) {
  const Expr& expr = ast_->expr(id);
  const auto operands = ast_->operands_of(id);
  if (expr.kind != ExprKind::kIndex || ast_->expr(operands.back()).kind != ExprKind::kSlice) {
    report(Kind::kDotArgument, expr.span, {"this is no index that ends in `:`"});
    return false;
  }
  const Symbol* symbol = find_buffer(expr.name);
  if (!check_indices(id, operands.size() - 1, indices) || symbol == nullptr) return false;
  const CheckedBuffer& buffer = checked_.buffers[symbol->slot];
  if (buffer.extents.size() != operands.size()) {
    report(Kind::kWrongRank, expr.span,
           {quoted(buffer.name), count_of(buffer.extents.size(), "dimension", "dimensions"),
            count_of(operands.size(), "index", "indices")});
    return false;
  }
  if (type_of_elements(buffer.dtype) != Type::kFloat) {
    report(Kind::kDotArgument, expr.span, {quoted(buffer.name) + " holds " + std::string(name_of(buffer.dtype))});
    return false;
  }
  buffer_slot = symbol->slot;
  return true;
}

bool Checker::check_dot_extents(Span span, DotRead& dot) {
  const std::string most = std::to_string(kMaxDotExtent);
  const CheckedExtent& a = checked_.buffers[dot.buffer_a].extents.back();
  const CheckedExtent& b = checked_.buffers[dot.buffer_b].extents.back();
  if (a.kind != CheckedExtent::Kind::kLiteral || b.kind != CheckedExtent::Kind::kLiteral) {
    report(Kind::kDotExtent, span, {most, "these are known only at run (buffers with constant extents need the file form)"});
    return false;
  }
  if (a.literal != b.literal || a.literal > kMaxDotExtent) {
    report(Kind::kDotExtent, span, {most, "these are " + std::to_string(a.literal) + " and " + std::to_string(b.literal)});
    return false;
  }
  dot.extent = static_cast<std::uint32_t>(a.literal);
  return true;
}

}  // namespace flexjit::dsl
