// The tokens of the language. Names, keywords and literals keep their text through their span.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "dsl/parse/source_location.h"

namespace flexjit::dsl {

enum class TokenKind : std::uint8_t {
  kEnd,        // of the text
  kSeparator,  // a new line outside brackets, or `;`
  kProblem,    // already reported; whoever meets it says nothing more
  kName,       // identifiers and keywords
  kInt,
  kFloat,
  kLeftParen,
  kRightParen,
  kLeftBracket,
  kRightBracket,
  kLeftBrace,
  kRightBrace,
  kComma,
  kColon,
  kDotDot,  // between the bounds of a reduction
  kQuestion,
  kAssign,
  kPlus,
  kMinus,
  kStar,
  kSlash,
  kSlashSlash,
  kPercent,
  kAmp,
  kAmpAmp,
  kPipe,
  kPipePipe,
  kCaret,
  kTilde,
  kBang,
  kShiftLeft,
  kShiftRight,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  Span span;
  std::string_view text;    // of the source
  std::uint64_t value = 0;  // kInt: the number; kFloat: the bits of a double
};

// "`+`", "the end of the text": how a diagnostic speaks of a token.
std::string describe(const Token& token);
// True for operators that need something on both sides: a line that ends in one goes on.
bool is_joining(const Token& token);

}  // namespace flexjit::dsl
