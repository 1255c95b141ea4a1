// The parser's class, private to parse_statement.cpp and parse_expression.cpp.
//
// Grammar (brackets balance and line breaks inside them are gone, see lexer.h):
//   file       = { statement }            text = { let | const | def } expr
//   statement  = "param" name ":" type [ "=" expr ] | "const" name ":" type "=" expr
//              | "buffer" name ":" element "[" extent { "," extent } "]" | "let" name "=" expr
//              | "def" name "(" [ name { "," name } ] ")" "=" expr | ("score" | "mask") "=" expr
//   expr       = binary(or) [ "?" expr ":" expr ]
//   binary(p)  = operands joined by left-associative operators of precedence p and higher; comparisons and `in` do not chain
//   unary      = ("-" | "~" | "!") unary | postfix        `not` binds weaker than comparisons, as in Python
//   reduction  = ("any" | "all" | "sum") "(" name "in" expr ".." expr ":" expr ")"
//   postfix    = reduction | name { "[" index { "," index } "]" } | name "(" [ expr { "," expr } ] ")" | number | "(" { let ";"
//   } expr ")"
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dsl/parse/parser.h"
#include "dsl/parse/token.h"

namespace flexjit::dsl {

class Parser {
 public:
  Parser(std::vector<Token> tokens, std::string_view text, Form form, DiagnosticEngine& diagnostics)
      : tokens_(std::move(tokens)), text_(text), form_(form), diagnostics_(diagnostics) {}

  Ast run() &&;

 private:
  // Statements: parse_statement.cpp. They return with failed_ set after a report.
  void parse_statement();
  void parse_declared(Statement& statement);
  void parse_buffer(Statement& statement);
  void parse_extents(Statement& statement);
  void parse_def(Statement& statement);
  void parse_value(Statement& statement);
  void parse_result();
  void finish_statement(Statement statement);
  void reject_start();
  bool starts_statement(std::string_view word) const;
  void report_extra_text();

  // Expressions: parse_expression.cpp. An invalid id means that failed_ is set.
  ExprId parse_expression();
  ExprId parse_binary(int min_precedence);
  ExprId parse_operand(int min_precedence);
  ExprId parse_comparison_tail(ExprId left, Span left_span);
  ExprId parse_set(ExprId element);
  ExprId parse_unary();
  ExprId parse_postfix();
  ExprId parse_parenthesised();
  ExprId parse_name();
  ExprId parse_index(const Token& name);
  ExprId parse_call(const Token& name);
  bool at_reduction(std::string_view name) const;
  ExprId parse_reduction(const Token& name);
  ExprId parse_number();
  bool parse_list(TokenKind closer, std::vector<ExprId>& items);
  ExprId parse_list_item(TokenKind closer);

  ExprId add(Expr expr, const std::vector<ExprId>& operands);
  Span span_of(ExprId id) const { return ast_.expr(id).span; }
  Span span_since(std::size_t first) const;  // from token number `first` to the last one taken

  // Tokens.
  const Token& peek(std::size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  bool at(TokenKind kind) const { return peek().kind == kind; }
  bool at_word(std::string_view word) const { return at(TokenKind::kName) && peek().text == word; }
  const Token& take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool accept(TokenKind kind);
  bool expect(TokenKind kind, std::string_view what);
  bool expect_name(Identifier& name, std::string_view what);
  bool at_statement_end() const { return at(TokenKind::kSeparator) || at(TokenKind::kEnd); }
  void skip_to_statement_end();

  // The first mistake of a statement is reported, the rest follows from it.
  void fail(Kind kind, Span span, std::initializer_list<std::string_view> arguments);
  ExprId fail_expression(Kind kind, Span span, std::initializer_list<std::string_view> arguments);

  std::vector<Token> tokens_;
  std::string_view text_;
  Form form_;
  DiagnosticEngine& diagnostics_;
  std::size_t at_ = 0;
  std::size_t statement_begin_ = 0;
  bool failed_ = false;      // this statement
  bool any_failed_ = false;  // any statement
  std::uint32_t nesting_ = 0;
  Ast ast_;
};

}  // namespace flexjit::dsl
