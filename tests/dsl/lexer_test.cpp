// Tokens, line joining and literals.
#include "dsl/parse/lexer.h"

#include <gtest/gtest.h>

#include <bit>

namespace flexjit::dsl {
namespace {

// The texts of the tokens, with `;` for every separator and `!` for every problem.
std::string tokens(const std::string& text, std::size_t* errors = nullptr) {
  const SourceText source{"test", text};
  DiagnosticEngine diagnostics(std::span(&source, 1));
  std::string result;
  for (const Token& token : lex(source, 0, diagnostics)) {
    const bool is_special = token.kind == TokenKind::kSeparator || token.kind == TokenKind::kProblem;
    if (token.kind == TokenKind::kEnd) break;
    result +=
        (result.empty() ? "" : " ") + (is_special ? (token.kind == TokenKind::kProblem ? "!" : ";") : std::string(token.text));
  }
  if (errors != nullptr) *errors = diagnostics.count();
  return result;
}

TEST(Lexer, TakesTheLongestOperator) {
  EXPECT_EQ(tokens("a<<b<=c//d/e&&f&g||h|i!=!j==k"), "a << b <= c // d / e && f & g || h | i != ! j == k");
  EXPECT_EQ(tokens("a<-b"), "a < - b");
}

TEST(Lexer, CommentsReachTheEndOfTheLine) { EXPECT_EQ(tokens("a # b ( \nc"), "a ; c"); }

TEST(Lexer, LinesJoinInBracketsAndAfterOperators) {
  EXPECT_EQ(tokens("f(a,\n b)\nc"), "f ( a , b ) ; c");
  EXPECT_EQ(tokens("a +\n\n b\nc"), "a + b ; c");
  EXPECT_EQ(tokens("a and # why\n not\n b"), "a and not b");
  EXPECT_EQ(tokens("x in {\n1,\n2}\n"), "x in { 1 , 2 } ;");
  EXPECT_EQ(tokens("a ?\n b :\n c"), "a ? b : c");
  EXPECT_EQ(tokens("a\r\nb"), "a ; ; b");
}

TEST(Lexer, AStatementEndsForgottenBrackets) {
  std::size_t errors = 0;
  EXPECT_EQ(tokens("score = (a +\nmask = b", &errors), "score = ( a + ! ; mask = b");
  EXPECT_EQ(errors, 1u);
  // These are no statements.
  EXPECT_EQ(tokens("f(a,\nmask == b, score\n)", &errors), "f ( a , mask == b , score )");
  EXPECT_EQ(errors, 0u);
  EXPECT_EQ(tokens("(let a = 1;\nlet c = 2; c)", &errors), "( let a = 1 ; let c = 2 ; c )");
  EXPECT_EQ(errors, 0u);
}

TEST(Lexer, ReadsNumbers) {
  struct Case {
    std::string text;
    TokenKind kind;
    double value;
  };
  const Case cases[] = {{"0", TokenKind::kInt, 0},
                        {"2147483648", TokenKind::kInt, 2147483648.0},
                        {"0x1F", TokenKind::kInt, 31},
                        {"0xffffffff", TokenKind::kInt, -1},
                        {"0x80000000", TokenKind::kInt, -2147483648.0},
                        {"1.5", TokenKind::kFloat, 1.5},
                        {".5", TokenKind::kFloat, 0.5},
                        {"1.", TokenKind::kFloat, 1},
                        {"1e-3", TokenKind::kFloat, 1e-3},
                        {"2.5E+2", TokenKind::kFloat, 250},
                        {"0.0", TokenKind::kFloat, 0}};
  for (const Case& c : cases) {
    const SourceText source{"test", c.text};
    DiagnosticEngine diagnostics(std::span(&source, 1));
    const Token token = lex(source, 0, diagnostics)[0];
    EXPECT_EQ(diagnostics.count(), 0u) << c.text;
    EXPECT_EQ(token.kind, c.kind) << c.text;
    const double value = c.kind == TokenKind::kInt ? static_cast<double>(static_cast<std::int64_t>(token.value))
                                                   : std::bit_cast<double>(token.value);
    EXPECT_EQ(value, c.value) << c.text;
  }
}

}  // namespace
}  // namespace flexjit::dsl
