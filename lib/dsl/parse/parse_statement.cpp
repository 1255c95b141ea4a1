// Tokens -> statements, with recovery at statement ends.
#include <algorithm>
#include <utility>

#include "dsl/findings/foreign_names.h"
#include "dsl/findings/spelling.h"
#include "dsl/parse/lexer.h"
#include "dsl/parse/parser_impl.h"
#include "dsl/vocabulary/vocabulary.h"

namespace flexjit::dsl {
namespace {

StatementKind kind_of(std::string_view word) {
  const auto words = statement_words();
  return static_cast<StatementKind>(std::find(words.begin(), words.end(), word) - words.begin());
}

// What users of other languages write where our expression has already ended.
std::string extra_text_hint(const Token& token) {
  if (token.kind == TokenKind::kName && token.text == "if") return "; a conditional is written `c ? a : b`";
  if (token.kind == TokenKind::kBang || token.text == "not") return "; `!=` compares";
  if (token.kind == TokenKind::kLeftBracket) return "; only the name of a buffer can be indexed";
  if (token.kind == TokenKind::kLeftParen) return "; only the name of a function can be called";
  if (token.kind == TokenKind::kColon) return "; `:` needs a `?` before it";
  return "; statements are separated by `;` or a new line";
}

}  // namespace

void Parser::fail(Kind kind, Span span, std::initializer_list<std::string_view> arguments) {
  // A kProblem is already reported, and so is whatever stands at it.
  if (!failed_ && !at(TokenKind::kProblem)) diagnostics_.report(kind, span, arguments);
  failed_ = true;
  any_failed_ = true;
}

ExprId Parser::fail_expression(Kind kind, Span span, std::initializer_list<std::string_view> arguments) {
  fail(kind, span, arguments);
  return {};
}

bool Parser::accept(TokenKind kind) {
  if (!at(kind)) return false;
  take();
  return true;
}

bool Parser::expect(TokenKind kind, std::string_view what) {
  if (failed_) return false;
  if (accept(kind)) return true;
  if (at(TokenKind::kAssign) && kind != TokenKind::kAssign) {
    fail(Kind::kAssignmentInExpression, peek().span, {});
  } else {
    fail(Kind::kExpectedToken, peek().span, {what, describe(peek())});
  }
  return false;
}

bool Parser::expect_name(Identifier& name, std::string_view what) {
  if (failed_) return false;
  if (at(TokenKind::kName)) {
    name = {peek().text, peek().span};
    take();
    return true;
  }
  fail(Kind::kExpectedToken, peek().span, {what, describe(peek())});
  return false;
}

void Parser::skip_to_statement_end() {
  // A separator inside parentheses belongs to a nested let.
  int depth = 0;
  for (std::size_t i = statement_begin_; i < at_; ++i) {
    if (tokens_[i].kind == TokenKind::kLeftParen) ++depth;
    if (tokens_[i].kind == TokenKind::kRightParen) --depth;
  }
  while (!at(TokenKind::kEnd) && !(depth <= 0 && at(TokenKind::kSeparator))) {
    if (at(TokenKind::kLeftParen)) ++depth;
    if (at(TokenKind::kRightParen)) --depth;
    if (at(TokenKind::kProblem)) depth = 0;
    take();
  }
}

Ast Parser::run() && {
  while (true) {
    while (accept(TokenKind::kSeparator)) {
    }
    if (at(TokenKind::kEnd)) break;
    failed_ = false;
    nesting_ = 0;
    statement_begin_ = at_;
    parse_statement();
    if (!failed_ && !at_statement_end()) report_extra_text();
    if (failed_) skip_to_statement_end();
  }
  const bool has_result = !ast_.statements.empty() && ast_.statements.back().kind == StatementKind::kResult;
  failed_ = false;
  if (form_ == Form::kExpression && !has_result) {
    if (!any_failed_) fail(Kind::kExpectedExpression, peek().span, {describe(peek())});
    ast_.statements.push_back({.kind = StatementKind::kResult, .broken = true});
  }
  return std::move(ast_);
}

// A result starts a statement only before `=`; the other words are keywords and always do.
bool Parser::starts_statement(std::string_view word) const {
  if (std::ranges::find(statement_words(), word) == statement_words().end()) return false;
  return is_keyword(word) || peek(1).kind == TokenKind::kAssign;
}

void Parser::parse_statement() {
  if (!at(TokenKind::kName) || !starts_statement(peek().text)) {
    return form_ == Form::kExpression ? parse_result() : reject_start();
  }
  const Token word = take();
  Statement statement;
  statement.kind = kind_of(word.text);
  statement.name = {word.text, word.span};
  const bool of_file =
      statement.kind != StatementKind::kLet && statement.kind != StatementKind::kDef && statement.kind != StatementKind::kConst;
  if (form_ == Form::kExpression && of_file) {
    const std::string_view hint = statement.is_result() ? "this text is the expression alone"
                                                        : "here the names are declared by the caller, beside the text";
    return fail(Kind::kStatementInExpression, word.span, {quoted(word.text), hint});
  }
  switch (statement.kind) {
    case StatementKind::kParam:
    case StatementKind::kConst: parse_declared(statement); break;
    case StatementKind::kBuffer: parse_buffer(statement); break;
    case StatementKind::kDef: parse_def(statement); break;
    case StatementKind::kLet:
      expect_name(statement.name, "the name that `let` defines");
      parse_value(statement);
      break;
    case StatementKind::kScore:
    case StatementKind::kMask:
    case StatementKind::kFeature:
    case StatementKind::kGate:
    case StatementKind::kResult: parse_value(statement); break;
  }
  finish_statement(std::move(statement));
}

void Parser::finish_statement(Statement statement) {
  if (!failed_ && !at_statement_end()) report_extra_text();
  statement.broken = failed_;
  ast_.statements.push_back(std::move(statement));
}

void Parser::parse_value(Statement& statement) {
  if (expect(TokenKind::kAssign, "`=`")) statement.value = parse_expression();
}

void Parser::parse_declared(Statement& statement) {
  const bool is_param = statement.kind == StatementKind::kParam;
  if (!expect_name(statement.name, is_param ? "the name of a param" : "the name of a const")) return;
  if (!expect(TokenKind::kColon, "`:` and a type")) return;
  if (!expect_name(statement.type, "a type (int, float or bool)")) return;
  if (!is_param || at(TokenKind::kAssign)) parse_value(statement);
}

void Parser::parse_buffer(Statement& statement) {
  if (!expect_name(statement.name, "the name of a buffer")) return;
  if (!expect(TokenKind::kColon, "`:` and an element type")) return;
  if (!expect_name(statement.type, "an element type, such as f32 or i32")) return;
  if (expect(TokenKind::kLeftBracket, "`[` and the extents, as in `[num_heads, ?]`")) parse_extents(statement);
}

void Parser::parse_extents(Statement& statement) {
  do {
    const bool is_any = accept(TokenKind::kQuestion);
    statement.extents.push_back(is_any ? ExprId{} : parse_expression());
  } while (!failed_ && accept(TokenKind::kComma));
  expect(TokenKind::kRightBracket, "`,` or `]`");
}

void Parser::parse_def(Statement& statement) {
  if (!expect_name(statement.name, "the name of a function")) return;
  if (!expect(TokenKind::kLeftParen, "`(`")) return;
  while (!at(TokenKind::kRightParen)) {
    Identifier argument;
    if (!expect_name(argument, "the name of an argument")) return;
    statement.arguments.push_back(argument);
    if (!at(TokenKind::kRightParen) && !expect(TokenKind::kComma, "`,` or `)`")) return;
  }
  take();
  parse_value(statement);
}

// The final expression of the string form.
void Parser::parse_result() {
  if (is_joining(peek()) && !at(TokenKind::kMinus) && !at_word("not")) return reject_start();
  Statement statement;
  statement.kind = StatementKind::kResult;
  statement.value = parse_expression();
  const bool repeated = !ast_.statements.empty() && ast_.statements.back().kind == StatementKind::kResult;
  if (!failed_ && repeated && statement.value.valid()) {
    const Span span = span_of(statement.value);
    const std::string_view source = text_.substr(span.begin, span.end - span.begin);
    return fail(Kind::kExtraText, span, {quoted(source), "; the text is one expression, and what is defined stands before it"});
  }
  finish_statement(std::move(statement));
}

void Parser::report_extra_text() {
  if (at(TokenKind::kAssign)) return fail(Kind::kAssignmentInExpression, peek().span, {});
  fail(Kind::kExtraText, peek().span, {describe(peek()), extra_text_hint(peek())});
}

void Parser::reject_start() {
  const Token& token = peek();
  if (is_joining(token)) return fail(Kind::kLeadingOperator, token.span, {describe(token)});
  if (at_word("score") || at_word("mask")) {
    return fail(Kind::kExpectedToken, peek(1).span, {"`=` after " + describe(token), describe(peek(1))});
  }
  std::string hint = token.kind == TokenKind::kName ? did_you_mean(token.text, statement_words()) : "";
  if (peek(1).kind == TokenKind::kAssign) hint = "; write " + quoted("let " + std::string(token.text) + " = ...");
  if (const std::string result = foreign_result_hint(token.text); !result.empty()) hint = result;
  fail(Kind::kUnknownStatement, token.span, {describe(token), hint});
}

Ast parse(const SourceText& source, std::uint32_t number, Form form, DiagnosticEngine& diagnostics) {
  return Parser(lex(source, number, diagnostics), source.text, form, diagnostics).run();
}

}  // namespace flexjit::dsl
