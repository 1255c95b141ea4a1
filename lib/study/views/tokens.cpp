// Texts -> their words as the lexer sees them: one line each, with place and kind. The texts of flags are words too.
#include <fmt/format.h>

#include "dsl/findings/diagnostic_engine.h"
#include "dsl/parse/lexer.h"
#include "dsl/vocabulary/vocabulary.h"
#include "study/subject/source_texts.h"
#include "study/views/view.h"

namespace flexjit::study {
namespace {

// A line a kind.
std::string_view kind_of(const dsl::Token& token) {
  switch (token.kind) {
    case dsl::TokenKind::kEnd: return "end";
    case dsl::TokenKind::kSeparator: return "separator";
    case dsl::TokenKind::kProblem: return "problem";
    case dsl::TokenKind::kName: return dsl::is_keyword(token.text) ? "keyword" : "name";
    case dsl::TokenKind::kInt: return "int";
    case dsl::TokenKind::kFloat: return "float";
    case dsl::TokenKind::kLeftParen:
    case dsl::TokenKind::kRightParen:
    case dsl::TokenKind::kLeftBracket:
    case dsl::TokenKind::kRightBracket:
    case dsl::TokenKind::kLeftBrace:
    case dsl::TokenKind::kRightBrace: return "bracket";
    case dsl::TokenKind::kComma:
    case dsl::TokenKind::kDotDot:
    case dsl::TokenKind::kColon:
    case dsl::TokenKind::kQuestion:
    case dsl::TokenKind::kAssign:
    case dsl::TokenKind::kPlus:
    case dsl::TokenKind::kMinus:
    case dsl::TokenKind::kStar:
    case dsl::TokenKind::kSlash:
    case dsl::TokenKind::kSlashSlash:
    case dsl::TokenKind::kPercent:
    case dsl::TokenKind::kAmp:
    case dsl::TokenKind::kAmpAmp:
    case dsl::TokenKind::kPipe:
    case dsl::TokenKind::kPipePipe:
    case dsl::TokenKind::kCaret:
    case dsl::TokenKind::kTilde:
    case dsl::TokenKind::kBang:
    case dsl::TokenKind::kShiftLeft:
    case dsl::TokenKind::kShiftRight:
    case dsl::TokenKind::kEqual:
    case dsl::TokenKind::kNotEqual:
    case dsl::TokenKind::kLess:
    case dsl::TokenKind::kLessEqual:
    case dsl::TokenKind::kGreater:
    case dsl::TokenKind::kGreaterEqual: return "symbol";
  }
  return "";
}

void add_text(const SourceText& source, ViewResult& view) {
  dsl::DiagnosticEngine silent({});
  Json words = Json::array();
  view.text += source.heading;
  for (const dsl::Token& token : dsl::lex(*source.text, 0, silent)) {
    Json word = place_json(*source.text, token.span);
    const std::string place = fmt::format("{}:{}", word["line"].get<int>(), word["column"].get<int>());
    view.text += fmt::format("{:<8} {:<10} {}\n", place, kind_of(token), dsl::describe(token));
    word["kind"] = kind_of(token);
    word["text"] = token.text;
    words.push_back(std::move(word));
  }
  view.json["texts"].push_back({{"name", source.text->name}, {"flag", source.flag_json()}, {"tokens", std::move(words)}});
}

}  // namespace

Result<ViewResult> make_tokens_view(const Subject& subject) {
  ViewResult view;
  for (const SourceText& source : source_texts(subject)) add_text(source, view);
  return view;
}

}  // namespace flexjit::study
