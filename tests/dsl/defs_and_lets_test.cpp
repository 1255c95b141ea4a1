// Names: scopes, hygiene, inlining and their bounds.
#include <gtest/gtest.h>

#include "sources.h"

namespace flexjit::dsl_test {
namespace {

TEST(Names, ALetIsItsValue) {
  EXPECT_EQ(program(file("let d = q - kv\nlet e = d * d\nscore = score + e")),
            program(file("score = score + (q - kv) * (q - kv)")));
}

TEST(Names, AliasesAreTheSame) { EXPECT_EQ(program(mask("q >= kv")), program(mask("q_idx >= kv_idx"))); }

TEST(Names, ACallIsItsBody) {
  EXPECT_EQ(program(score("def f(x, y) = x * y + 1; f(score, h)")), program(score("score * h + 1")));
  EXPECT_EQ(program(score("def f() = 3; score + f()")), program(score("score + 3")));
  EXPECT_EQ(program(score("def f(x) = x * 2; def g(x) = f(f(x)) + x; g(score)")), program(score("score * 2 * 2 + score")));
}

TEST(Names, ArgumentsAreValuesNotTexts) {
  EXPECT_EQ(program(score("def twice(x) = x * 2; twice(score + 1)")), program(score("(score + 1) * 2")));
}

TEST(Names, AFunctionSeesWhatStoodBeforeIt) {
  // The argument is called d, the caller has a d too, and the body means the outer one.
  EXPECT_EQ(program(file("let d = 5\ndef f(x) = x + d\ndef g(d) = f(d * 2)\nscore = score + g(h)")),
            program(file("score = score + (h * 2 + 5)")));
}

TEST(Names, ArgumentsAndInnerLetsHideOuterValues) {
  EXPECT_EQ(program(score("def f(h, b) = h - b; score + f(q, kv)")), program(score("score + (q - kv)")));
  EXPECT_EQ(program(file("let x = 3\nlet y = (let x = h; x + 1)\nscore = score + x * y")),
            program(file("score = score + 3 * (h + 1)")));
}

TEST(Names, AFunctionIsTypedByEachCall) {
  EXPECT_EQ(errors(file("def f(x) = x + x\nbuffer t : f32[?]\nscore = f(score) + t[f(h)]")), "");
  EXPECT_EQ(errors(file("def f(x) = x + x\nbuffer t : f32[?]\nscore = t[f(score)]")), "index-type");
  EXPECT_EQ(errors(file("def both(x, y) = x && y\nmask = both(q >= kv, h == 0)")), "");
}

TEST(Names, AMistakeInABodyIsReportedOnceWithTheCall) {
  const Result<ir::Lowered> lowered = ir::lower_source(file("def f(x) = x && true\n\nscore = score + f(1) + f(2)"));
  ASSERT_FALSE(lowered.has_value());
  ASSERT_EQ(lowered.diagnostics().size(), 1u);
  EXPECT_EQ(lowered.diagnostics()[0].line, 1u);
  EXPECT_NE(lowered.diagnostics()[0].message.find("in `f`, called at line 3"), std::string::npos);
}

TEST(Names, AnUnusedFunctionIsCheckedToo) { EXPECT_EQ(errors(file("def f(x) = x + nope\nscore = score")), "unknown-name"); }

TEST(Names, AWrongDefinitionDoesNotCascade) {
  EXPECT_EQ(errors(file("let a = nope\nlet c = a + 1\ndef f(x) = x + c\nscore = f(a) + c[3]")), "unknown-name");
  EXPECT_EQ(errors(file("buffer t : f99[?]\nscore = score + t[h] + t")), "unknown-element-type");
}

TEST(Names, MaskIsAnOrdinaryNameExceptWhereItIsSet) {
  EXPECT_EQ(errors(file("buffer mask : bool[q_len, kv_len]\nmask = mask[q, kv]")), "");
  EXPECT_EQ(errors(mask("mask[q, kv]", {{"mask", DType::kBool, 2}})), "");
}

TEST(Names, TheMaskMayShareLetsThatDoNotNeedTheScore) {
  EXPECT_EQ(errors(file("let d = q - kv\nlet s = score * d\nscore = s\nmask = d >= 0")), "");
  EXPECT_EQ(errors(file("let s = score * 2\nscore = s\nmask = s > 0.0")), "score-in-mask");
}

TEST(Names, StringsDoNotShareTheirLets) {
  dsl::Source source = score("let d = q - kv; score + d");
  source.mask = dsl::SourceText{"mask_mod", "d >= 0"};
  EXPECT_EQ(errors(source), "unknown-name");
  source.mask = dsl::SourceText{"mask_mod", "let d = kv - q; d <= 0"};
  EXPECT_EQ(errors(source), "");
}

TEST(Names, InliningIsBounded) {
  std::string text = "def f0(x) = x && x\n";  // wrong when called, so that no node is ever made
  for (int i = 0; i < 60; ++i) {
    const std::string callee = "f" + std::to_string(i) + "(x)";
    text += "def f" + std::to_string(i + 1) + "(x) = " + callee + " + " + callee + "\n";
  }
  EXPECT_NE(errors(file(text + "score = f60(score)")).find("too-complex"), std::string::npos);
}

TEST(Names, LongChainsOfLetsAreBounded) {
  const auto chain = [](int length) {
    std::string text = "let x0 = score\n";
    for (int i = 1; i <= length; ++i) text += "let x" + std::to_string(i) + " = x" + std::to_string(i - 1) + " + h\n";
    return errors(file(text + "score = x" + std::to_string(length)));
  };
  EXPECT_EQ(chain(900), "");
  EXPECT_EQ(chain(1100), "too-complex");
}

}  // namespace
}  // namespace flexjit::dsl_test
