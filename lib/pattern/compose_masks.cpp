// Masks as texts -> one mask as text. Each text becomes one parenthesised expression: its `let` and `const` statements move
// into the parentheses, where they are seen by nobody else; comments and line ends go.
#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "diagnostics/guard.h"
#include "diagnostics/report.h"
#include "dsl/parse/lexer.h"
#include "dsl/parse/parser.h"
#include "flexjit/presets.h"

namespace flexjit {

namespace {

using dsl::Token;
using dsl::TokenKind;

std::string text_of(std::span<const Token> tokens) {
  std::string text;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0 && tokens[i].span.begin > tokens[i - 1].span.end) text += ' ';
    text += tokens[i].text;
  }
  return text;
}

// Statements of the string form; a separator inside parentheses belongs to a nested let.
std::vector<std::span<const Token>> split_statements(std::span<const Token> tokens) {
  std::vector<std::span<const Token>> statements;
  std::size_t begin = 0;
  int depth = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].kind == TokenKind::kLeftParen) ++depth;
    if (tokens[i].kind == TokenKind::kRightParen) --depth;
    const bool ends = tokens[i].kind == TokenKind::kEnd || (tokens[i].kind == TokenKind::kSeparator && depth == 0);
    if (!ends) continue;
    if (i > begin) statements.push_back(tokens.subspan(begin, i - begin));
    begin = i + 1;
  }
  return statements;
}

// One statement of a text that parses.
std::string nested(std::span<const Token> statement) {
  if (statement[0].text == "let") return text_of(statement) + "; ";
  if (statement[0].text != "const") return text_of(statement);
  // const name : type = value. There is no cast to bool; a bool needs none.
  const std::string_view name = statement[1].text, type = statement[3].text;
  const std::string value = text_of(statement.subspan(5));
  return fmt::format("let {} = {}({}); ", name, type == "bool" ? "" : type, value);
}

Result<std::string> as_expression(const std::string& mask) {
  if (mask.empty()) return std::string("true");
  const std::vector<dsl::SourceText> texts{{"mask_mod", mask}};
  dsl::DiagnosticEngine diagnostics(texts);
  const dsl::Ast ast = dsl::parse(texts[0], 0, dsl::Form::kExpression, diagnostics);
  if (diagnostics.count() > 0) return std::move(diagnostics).take();
  for (const dsl::Statement& statement : ast.statements) {
    if (statement.kind != dsl::StatementKind::kDef) continue;
    return engine::single_finding("mask_mod", engine::Finding::kComposition, statement.name.text);
  }
  std::string text;
  const std::vector<Token> tokens = dsl::lex(texts[0], 0, diagnostics);
  for (std::span<const Token> statement : split_statements(tokens)) text += nested(statement);
  return fmt::format("({})", text);
}

// What every combination shares: each text as an expression, or all that is wrong with them.
Result<std::vector<std::string>> as_expressions(std::span<const std::string> masks) {
  std::vector<std::string> expressions;
  Diagnostics wrong;
  for (const std::string& mask : masks) {
    Result<std::string> expression = as_expression(mask);
    if (expression) {
      expressions.push_back(std::move(*expression));
    } else {
      wrong.insert(wrong.end(), expression.diagnostics().begin(), expression.diagnostics().end());
    }
  }
  if (!wrong.empty()) return wrong;
  return expressions;
}

Result<std::string> combine(std::span<const std::string> masks, std::string_view op, std::string_view none) {
  Result<std::vector<std::string>> expressions = as_expressions(masks);
  if (!expressions) return expressions.diagnostics();
  return expressions->empty() ? std::string(none) : fmt::format("{}", fmt::join(*expressions, op));
}

}  // namespace

Result<std::string> and_masks(std::span<const std::string> masks) {
  return engine::guarded_on_large_stack("and_masks", [&] { return combine(masks, " && ", "true"); });
}

Result<std::string> or_masks(std::span<const std::string> masks) {
  return engine::guarded_on_large_stack("or_masks", [&] { return combine(masks, " || ", "false"); });
}

Result<std::string> not_mask(const std::string& mask) {
  return engine::guarded_on_large_stack("not_mask", [&]() -> Result<std::string> {
    Result<std::string> expression = as_expression(mask);
    return expression ? "!" + *expression : std::move(expression);
  });
}

Result<std::string> offset_queries(const std::string& mask, const std::string& offset) {
  return engine::guarded_on_large_stack("offset_queries", [&]() -> Result<std::string> {
    const std::string texts[] = {mask, offset};
    Result<std::vector<std::string>> expressions = as_expressions(texts);
    if (!expressions) return expressions.diagnostics();
    // `q` is another name of q_idx.
    return fmt::format("(let q_idx = q_idx + {}; let q = q_idx; {})", (*expressions)[1], (*expressions)[0]);
  });
}

Result<std::string> choose_by_head(std::span<const std::string> masks) {
  return engine::guarded_on_large_stack("choose_by_head", [&]() -> Result<std::string> {
    Result<std::vector<std::string>> expressions = as_expressions(masks);
    if (!expressions) return expressions.diagnostics();
    if (expressions->empty())
      return engine::single_finding("choose_by_head", engine::Finding::kBadOption, "masks", "empty", "give one or more");
    std::string text;
    for (std::size_t head = 0; head + 1 < expressions->size(); ++head) {
      text += fmt::format("h == {} ? {} : ", head, (*expressions)[head]);
    }
    return fmt::format("({}{})", text, expressions->back());
  });
}

}  // namespace flexjit
