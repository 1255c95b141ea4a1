// Tokens -> expression nodes.
#include <algorithm>
#include <bit>
#include <initializer_list>
#include <utility>

#include "dsl/parse/parser_impl.h"
#include "dsl/vocabulary/vocabulary.h"

namespace flexjit::dsl {
namespace {

// Python's order, weakest first; the conditional is below all of them and the unary operators above.
enum Precedence : int {
  kPrecOr = 1,
  kPrecAnd,
  kPrecNot,
  kPrecCompare,
  kPrecBitOr,
  kPrecXor,
  kPrecBitAnd,
  kPrecShift,
  kPrecSum,
  kPrecTerm
};

struct BinaryOperator {
  Operator op = Operator::kNone;
  int precedence = 0;  // 0: not a binary operator
};

// Long because it is a table that names every kind of token, so that a new one cannot be forgotten.
BinaryOperator binary_operator(const Token& token) {
  switch (token.kind) {
    case TokenKind::kName:
      if (token.text == "or") return {Operator::kOr, kPrecOr};
      if (token.text == "and") return {Operator::kAnd, kPrecAnd};
      if (token.text == "in" || token.text == "not") return {Operator::kNone, kPrecCompare};
      return {};
    case TokenKind::kPipePipe: return {Operator::kOr, kPrecOr};
    case TokenKind::kAmpAmp: return {Operator::kAnd, kPrecAnd};
    case TokenKind::kEqual: return {Operator::kEqual, kPrecCompare};
    case TokenKind::kNotEqual: return {Operator::kNotEqual, kPrecCompare};
    case TokenKind::kLess: return {Operator::kLess, kPrecCompare};
    case TokenKind::kLessEqual: return {Operator::kLessEqual, kPrecCompare};
    case TokenKind::kGreater: return {Operator::kGreater, kPrecCompare};
    case TokenKind::kGreaterEqual: return {Operator::kGreaterEqual, kPrecCompare};
    case TokenKind::kPipe: return {Operator::kBitOr, kPrecBitOr};
    case TokenKind::kCaret: return {Operator::kBitXor, kPrecXor};
    case TokenKind::kAmp: return {Operator::kBitAnd, kPrecBitAnd};
    case TokenKind::kShiftLeft: return {Operator::kShiftLeft, kPrecShift};
    case TokenKind::kShiftRight: return {Operator::kShiftRight, kPrecShift};
    case TokenKind::kPlus: return {Operator::kAdd, kPrecSum};
    case TokenKind::kMinus: return {Operator::kSub, kPrecSum};
    case TokenKind::kStar: return {Operator::kMul, kPrecTerm};
    case TokenKind::kSlash: return {Operator::kDiv, kPrecTerm};
    case TokenKind::kSlashSlash: return {Operator::kFloorDiv, kPrecTerm};
    case TokenKind::kPercent: return {Operator::kMod, kPrecTerm};
    case TokenKind::kEnd:
    case TokenKind::kSeparator:
    case TokenKind::kProblem:
    case TokenKind::kInt:
    case TokenKind::kFloat:
    case TokenKind::kLeftParen:
    case TokenKind::kRightParen:
    case TokenKind::kLeftBracket:
    case TokenKind::kRightBracket:
    case TokenKind::kLeftBrace:
    case TokenKind::kRightBrace:
    case TokenKind::kComma:
    case TokenKind::kColon:
    case TokenKind::kDotDot:
    case TokenKind::kQuestion:
    case TokenKind::kAssign:
    case TokenKind::kTilde:
    case TokenKind::kBang: return {};
  }
  return {};
}

std::string code(std::string_view text) { return std::string(text.substr(0, 40)); }

}  // namespace

std::string_view spelling_of(Operator op) {
  switch (op) {
    case Operator::kNone: return "in";
    case Operator::kNegate:
    case Operator::kSub: return "-";
    case Operator::kNot: return "!";
    case Operator::kBitNot: return "~";
    case Operator::kAdd: return "+";
    case Operator::kMul: return "*";
    case Operator::kDiv: return "/";
    case Operator::kFloorDiv: return "//";
    case Operator::kMod: return "%";
    case Operator::kShiftLeft: return "<<";
    case Operator::kShiftRight: return ">>";
    case Operator::kBitAnd: return "&";
    case Operator::kBitXor: return "^";
    case Operator::kBitOr: return "|";
    case Operator::kEqual: return "==";
    case Operator::kNotEqual: return "!=";
    case Operator::kLess: return "<";
    case Operator::kLessEqual: return "<=";
    case Operator::kGreater: return ">";
    case Operator::kGreaterEqual: return ">=";
    case Operator::kAnd: return "&&";
    case Operator::kOr: return "||";
  }
  return "";
}

ExprId Parser::add(Expr expr, const std::vector<ExprId>& operands) {
  std::uint32_t depth = 0;
  for (ExprId operand : operands) {
    if (!operand.valid()) return {};
    depth = std::max<std::uint32_t>(depth, ast_.expr(operand).depth);
  }
  if (depth + 1 > kMaxTreeDepth) return fail_expression(Kind::kTooDeep, expr.span, {std::to_string(kMaxTreeDepth)});
  expr.depth = static_cast<std::uint16_t>(depth + 1);
  expr.first_operand = static_cast<std::uint32_t>(ast_.operands.size());
  expr.operand_count = static_cast<std::uint32_t>(operands.size());
  ast_.operands.insert(ast_.operands.end(), operands.begin(), operands.end());
  ast_.exprs.push_back(expr);
  return {static_cast<std::uint32_t>(ast_.exprs.size() - 1)};
}

Span Parser::span_since(std::size_t first) const { return join(tokens_[first].span, tokens_[at_ - 1].span); }

ExprId Parser::parse_expression() {
  // The outermost expression stands in no bracket, and so is not counted here and below.
  if (nesting_++ > kMaxNesting) return fail_expression(Kind::kTooDeep, peek().span, {std::to_string(kMaxNesting)});
  const std::size_t first = at_;
  ExprId condition = parse_binary(kPrecOr);
  if (!failed_ && accept(TokenKind::kQuestion)) {
    const ExprId yes = parse_expression();
    if (!failed_) expect(TokenKind::kColon, "`:` of the conditional");
    const ExprId no = failed_ ? ExprId{} : parse_expression();
    if (!failed_) condition = add({.kind = ExprKind::kConditional, .span = span_since(first)}, {condition, yes, no});
  }
  --nesting_;
  return failed_ ? ExprId{} : condition;
}

ExprId Parser::parse_binary(int min_precedence) {
  const std::size_t first = at_;
  ExprId left = parse_operand(min_precedence);
  while (!failed_) {
    const BinaryOperator next = binary_operator(peek());
    if (next.precedence == 0 || next.precedence < min_precedence) break;
    if (next.precedence == kPrecCompare) {
      left = parse_comparison_tail(left, span_since(first));
      continue;
    }
    take();
    const ExprId right = parse_binary(next.precedence + 1);
    if (failed_) break;
    left = add({.kind = ExprKind::kBinary, .op = next.op, .span = span_since(first)}, {left, right});
  }
  return failed_ ? ExprId{} : left;
}

// `not` stands between the comparisons and `and`; in an operand of a comparison or of arithmetic it needs parentheses.
ExprId Parser::parse_operand(int min_precedence) {
  if (!at_word("not")) return parse_unary();
  const Token word = take();
  if (min_precedence > kPrecNot)
    return fail_expression(Kind::kExpectedExpression, word.span, {"`not`; put `not ...` in parentheses"});
  if (nesting_++ > kMaxNesting) return fail_expression(Kind::kTooDeep, word.span, {std::to_string(kMaxNesting)});
  const ExprId operand = parse_binary(kPrecNot);
  --nesting_;
  if (failed_) return {};
  return add({.kind = ExprKind::kUnary, .op = Operator::kNot, .span = join(word.span, tokens_[at_ - 1].span)}, {operand});
}

// left is a complete operand; a second comparison operator after the right one is the mistake that Python's users make.
ExprId Parser::parse_comparison_tail(ExprId left, Span left_span) {
  const Token op = take();
  const bool negated = op.kind == TokenKind::kName && op.text == "not";
  if (negated && !at_word("in"))
    return fail_expression(Kind::kExpectedToken, peek().span, {"`in` after `not`", describe(peek())});
  if (negated) take();
  const bool is_member = op.kind == TokenKind::kName;
  const ExprId right = is_member ? parse_set(left) : parse_binary(kPrecCompare + 1);
  if (failed_) return {};
  const BinaryOperator next = binary_operator(peek());
  if (next.precedence == kPrecCompare) {
    const auto source = [&](Span span) { return text_.substr(span.begin, span.end - span.begin); };
    const std::string first = code(source(left_span)) + " " + code(op.text) + " " + code(source(span_of(right)));
    const std::string second = code(source(span_of(right))) + " " + code(peek().text) + " ...";
    return fail_expression(Kind::kChainedComparison, peek().span,
                           {is_member ? "`&&` between them" : quoted(first + " && " + second)});
  }
  if (!is_member) {
    const Span span = join(left_span, tokens_[at_ - 1].span);
    return add({.kind = ExprKind::kBinary, .op = binary_operator(op).op, .span = span}, {left, right});
  }
  if (!negated) return right;
  return add({.kind = ExprKind::kUnary, .op = Operator::kNot, .span = span_of(right)}, {right});
}

ExprId Parser::parse_set(ExprId element) {
  if (!expect(TokenKind::kLeftBrace, "`{` of a set, as in `x in {0, 1}`")) return {};
  std::vector<ExprId> operands = {element};
  if (!parse_list(TokenKind::kRightBrace, operands)) return {};
  if (operands.size() == 1) return fail_expression(Kind::kExpectedExpression, peek().span, {"an empty set"});
  const Span end = take().span;
  return add({.kind = ExprKind::kMember, .span = join(span_of(element), end)}, operands);
}

ExprId Parser::parse_unary() {
  Operator op = Operator::kNone;
  if (at(TokenKind::kMinus)) op = Operator::kNegate;
  if (at(TokenKind::kTilde)) op = Operator::kBitNot;
  if (at(TokenKind::kBang)) op = Operator::kNot;
  if (op == Operator::kNone) return parse_postfix();
  const Span begin = take().span;
  if (nesting_++ > kMaxNesting) return fail_expression(Kind::kTooDeep, begin, {std::to_string(kMaxNesting)});
  const ExprId operand = parse_unary();
  --nesting_;
  if (failed_) return {};
  return add({.kind = ExprKind::kUnary, .op = op, .span = join(begin, tokens_[at_ - 1].span)}, {operand});
}

ExprId Parser::parse_postfix() {
  if (at(TokenKind::kInt) || at(TokenKind::kFloat)) return parse_number();
  if (at(TokenKind::kLeftParen)) return parse_parenthesised();
  if (at(TokenKind::kName) && !is_keyword(peek().text)) return parse_name();
  const bool is_power = at(TokenKind::kStar) && at_ > 0 && tokens_[at_ - 1].kind == TokenKind::kStar;
  const std::string hint = is_power ? "; a power is written `pow(a, b)`" : "";
  return fail_expression(Kind::kExpectedExpression, peek().span, {describe(peek()) + hint});
}

ExprId Parser::parse_number() {
  const Token token = take();
  const ExprKind kind = token.kind == TokenKind::kInt ? ExprKind::kInt : ExprKind::kFloat;
  return add({.kind = kind, .value = token.value, .span = token.span}, {});
}

ExprId Parser::parse_parenthesised() {
  const Span begin = take().span;
  std::vector<Identifier> names;
  std::vector<ExprId> operands;
  while (at_word("let")) {
    take();
    Identifier name;
    if (!expect_name(name, "the name that `let` defines") || !expect(TokenKind::kAssign, "`=`")) return {};
    names.push_back(name);
    operands.push_back(parse_expression());
    if (failed_ || !expect(TokenKind::kSeparator, "`;` after the value of `let`")) return {};
  }
  const ExprId inner = parse_expression();
  if (failed_ || !expect(TokenKind::kRightParen, "`)`")) return {};
  if (names.empty()) return inner;
  operands.push_back(inner);
  const Span span = join(begin, tokens_[at_ - 1].span);
  const std::uint64_t first = ast_.block_lets.size();
  ast_.block_lets.insert(ast_.block_lets.end(), names.begin(), names.end());
  return add({.kind = ExprKind::kBlock, .value = first, .span = span}, operands);
}

ExprId Parser::parse_name() {
  const Token name = take();
  if (at(TokenKind::kLeftBracket)) return parse_index(name);
  if (at_reduction(name.text)) return parse_reduction(name);
  if (at(TokenKind::kLeftParen)) return parse_call(name);
  return add({.kind = ExprKind::kName, .name = {name.text, name.span}, .span = name.span}, {});
}

ExprId Parser::parse_index(const Token& name) {
  std::vector<ExprId> indices;
  Span end = name.span;
  while (accept(TokenKind::kLeftBracket)) {
    const std::size_t before = indices.size();
    if (!parse_list(TokenKind::kRightBracket, indices)) return {};
    if (indices.size() == before) return fail_expression(Kind::kExpectedExpression, peek().span, {describe(peek())});
    end = take().span;
  }
  return add({.kind = ExprKind::kIndex, .name = {name.text, name.span}, .span = join(name.span, end)}, indices);
}

ExprId Parser::parse_call(const Token& name) {
  take();
  std::vector<ExprId> arguments;
  if (!parse_list(TokenKind::kRightParen, arguments)) return {};
  const Span end = take().span;
  return add({.kind = ExprKind::kCall, .name = {name.text, name.span}, .span = join(name.span, end)}, arguments);
}

// The names of reductions are nobody's elsewhere, and `any(x in {1, 2})` is a call.
bool Parser::at_reduction(std::string_view name) const {
  const bool is_name = std::ranges::find(reduction_words(), name) != reduction_words().end();
  const bool binds = at(TokenKind::kLeftParen) && peek(1).kind == TokenKind::kName && peek(2).kind == TokenKind::kName;
  return is_name && binds && peek(2).text == "in" && peek(3).kind != TokenKind::kLeftBrace;
}

ExprId Parser::parse_reduction(const Token& name) {
  take();
  Identifier variable;
  expect_name(variable, "the variable of the reduction");
  take();
  std::vector<ExprId> operands = {parse_expression()};
  if (failed_ || !expect(TokenKind::kDotDot, "`..` between the bounds, as in `0..4`")) return {};
  operands.push_back(parse_expression());
  if (failed_ || !expect(TokenKind::kColon, "`:` before what is reduced")) return {};
  operands.push_back(parse_expression());
  if (failed_ || !expect(TokenKind::kRightParen, "`)`")) return {};
  const Span span = join(name.span, tokens_[at_ - 1].span);
  ast_.block_lets.push_back(variable);
  return add({.kind = ExprKind::kReduction, .value = ast_.block_lets.size() - 1, .name = {name.text, name.span}, .span = span},
             operands);
}

// Comma-separated items up to, not including, the closer; a comma before it is allowed, as in Python.
bool Parser::parse_list(TokenKind closer, std::vector<ExprId>& items) {
  while (!at(closer)) {
    items.push_back(parse_list_item(closer));
    if (failed_) return false;
    if (!at(closer) && !expect(TokenKind::kComma, closer == TokenKind::kRightBracket ? "`,` or `]`"
                                                  : closer == TokenKind::kRightBrace ? "`,` or `}`"
                                                                                     : "`,` or `)`"))
      return false;
  }
  return true;
}

ExprId Parser::parse_list_item(TokenKind closer) {
  if (closer != TokenKind::kRightBracket || !at(TokenKind::kColon)) return parse_expression();
  return add({.kind = ExprKind::kSlice, .span = take().span}, {});
}

}  // namespace flexjit::dsl
