// Precedence and grouping, seen through the fully parenthesised print.
#include <gtest/gtest.h>

#include "dsl/parse/parser.h"
#include "sources.h"

namespace flexjit::dsl_test {
namespace {

// Parses without checking, so that operands may be any name.
std::string grouped(const std::string& expression) {
  const dsl::SourceText source{"test", expression};
  dsl::DiagnosticEngine diagnostics(std::span(&source, 1));
  const dsl::Ast ast = dsl::parse(source, 0, dsl::Form::kExpression, diagnostics);
  if (diagnostics.count() > 0) return render(std::move(diagnostics).take());
  std::string text = dsl::print_ast(ast);
  text.pop_back();
  return text;
}

// Long because it is a table.
TEST(Parser, PrecedenceIsPythons) {
  const std::pair<const char*, const char*> cases[] = {
      {"a + b * c", "(a + (b * c))"},
      {"a * b + c", "((a * b) + c)"},
      {"a - b - c", "((a - b) - c)"},
      {"a / b // c % d", "(((a / b) // c) % d)"},
      {"-a * b", "((-a) * b)"},
      {"-a .5", nullptr},
      {"~a & b", "((~a) & b)"},
      {"- - ~ ! a", "(-(-(~(!a))))"},
      {"!a == b", "((!a) == b)"},
      {"not a == b", "(!(a == b))"},
      {"not not a", "(!(!a))"},
      {"a << b + c", "(a << (b + c))"},
      {"a & b << c", "(a & (b << c))"},
      {"a ^ b & c", "(a ^ (b & c))"},
      {"a | b ^ c", "(a | (b ^ c))"},
      {"x & 1 == 0", "((x & 1) == 0)"},
      {"a | b < c", "((a | b) < c)"},
      {"a < b && c < d", "((a < b) && (c < d))"},
      {"a && b || c && d", "((a && b) || (c && d))"},
      {"a or b and not c", "(a || (b && (!c)))"},
      {"a || b && c", "(a || (b && c))"},
      {"a ? b : c", "(a ? b : c)"},
      {"a || b ? c + 1 : d", "((a || b) ? (c + 1) : d)"},
      {"a ? b : c ? d : e", "(a ? b : (c ? d : e))"},
      {"a ? b ? c : d : e", "(a ? (b ? c : d) : e)"},
      {"a + 1 in {1, 2}", "((a + 1) in {1, 2})"},
      {"a not in {1, b,}", "(!(a in {1, b}))"},
      {"a in {1} && b", "((a in {1}) && b)"},
      {"t[a][b, c][d]", "t[a, b, c, d]"},
      {"t[u[a] + 1]", "t[(u[a] + 1)]"},
      {"f(a, b)(c)", nullptr},
      {"f(a, (b))", "f(a, b)"},
      {"f()", "f()"},
      {"dot(a[i, :], c[:])", "dot(a[i, :], c[:])"},
      {"t[a ? b : c]", "t[(a ? b : c)]"},
      {"(let x = 1; let y = x; x + y) * 2", "((let x = 1; let y = x; (x + y)) * 2)"},
      {"1.5e2 + 0x10", "(150.0 + 16)"},
      {"a +\n b", "(a + b)"},
      {"(a\n + b)", "(a + b)"},
      {"a\n + b", nullptr},
      {"a < b < c", nullptr},
      {"a == b in {1}", nullptr},
      {"1 + not a", nullptr},
      {"a ** b", nullptr},
      {"a if b else c", nullptr},
      {"a = b", nullptr},
      {"(a, b)", nullptr},
      {"a.b", nullptr},
  };
  for (auto [text, expected] : cases) {
    const std::string printed = grouped(text);
    if (expected != nullptr) {
      EXPECT_EQ(printed, expected) << text;
    } else {
      EXPECT_NE(printed.find("error:"), std::string::npos) << text << " gives " << printed;
    }
  }
}

// What stands at the limits that docs/language.md states; one more of each has a golden diagnostic.
TEST(Parser, TwoHundredStandInsideOneAnother) {
  const auto repeated = [](const char* text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all;
  };
  EXPECT_EQ(grouped(repeated("(", 200) + "a" + repeated(")", 200)), "a");
  EXPECT_EQ(grouped(repeated("- ", 200) + "a"), repeated("(-", 200) + "a" + repeated(")", 200));
  EXPECT_EQ(grouped(repeated("not ", 200) + "a"), repeated("(!", 200) + "a" + repeated(")", 200));
}

TEST(Parser, StatementsShareALine) {
  EXPECT_EQ(tree(file("let d = q - kv; mask = d >= 0 # both\n;;\nscore = score")),
            "let d = (q - kv)\nmask = (d >= 0)\nscore = score\n");
}

TEST(Parser, PrintsDeclarations) {
  EXPECT_EQ(tree(file("param w : int = 256\nparam p : float\nconst g : int = 4*2\nbuffer t : bf16[g, w, ?, kv_len]\n"
                      "def f(x, y) = x + y\nscore = f(score, g)")),
            "param w : int = 256\nparam p : float\nconst g : int = (4 * 2)\nbuffer t : bf16[g, w, ?, kv_len]\n"
            "def f(x, y) = (x + y)\nscore = f(score, g)\n");
}

TEST(Parser, BothStringsPrint) {
  dsl::Source both = score("score * 2");
  both.mask = dsl::SourceText{"mask_mod", "q >= kv"};
  EXPECT_EQ(tree(both), "# score_mod\n(score * 2)\n# mask_mod\n(q >= kv)\n");
}

// Printing adds every bracket, so it must read back as the same tree.
TEST(Parser, ThePrintReadsBackAsItself) {
  const char* texts[] = {"a ? b : c ? d : e", "not a in {1, 2} or -b * c == d", "(let x = a & b; x | c) << f(t[a, b], d)"};
  for (const char* text : texts) EXPECT_EQ(grouped(grouped(text)), grouped(text));
}

}  // namespace
}  // namespace flexjit::dsl_test
