// The language's own tables, as they are.
#include "flexjit/vocabulary.h"

#include "dsl/parse/lexer.h"
#include "dsl/vocabulary/vocabulary.h"

namespace flexjit {

std::span<const std::string_view> words_of(WordKind kind) noexcept {
  switch (kind) {
    case WordKind::kStatement: return dsl::statement_words();
    case WordKind::kValue: return dsl::value_names();
    case WordKind::kFunction: return dsl::function_names();
    case WordKind::kOperator: return dsl::operator_words();
    case WordKind::kType: return dsl::type_names();
    case WordKind::kElementType: return dsl::dtype_names();
  }
  return {};
}

std::vector<std::string> split_statements(const std::string& program) {
  const dsl::SourceText source{"program", program};
  dsl::DiagnosticEngine silent(std::span(&source, 1));
  std::vector<std::string> statements;
  int depth = 0;  // a separator inside parentheses belongs to a nested let
  bool open = false;
  std::uint32_t begin = 0, end = 0;
  for (const dsl::Token& token : dsl::lex(source, 0, silent)) {
    if (token.kind == dsl::TokenKind::kLeftParen) ++depth;
    if (token.kind == dsl::TokenKind::kRightParen) --depth;
    const bool ends = token.kind == dsl::TokenKind::kEnd || (token.kind == dsl::TokenKind::kSeparator && depth <= 0);
    if (ends && open) statements.push_back(program.substr(begin, end - begin));
    if (!ends && !open) begin = token.span.begin;
    end = token.span.end;
    open = !ends;
  }
  return statements;
}

}  // namespace flexjit
