// Where reads happen: what stands on the conditional side of `? :`, where, && and || is read only there, through any let.
#include <gtest/gtest.h>

#include <regex>

#include "sources.h"

namespace flexjit::dsl_test {
namespace {

// The lines of the program that read, without their numbers: "read t[%0] if %3".
std::vector<std::string> reads(const dsl::Source& source) {
  std::vector<std::string> found;
  const std::string text = program(source);
  const std::regex pattern("%\\d+ = (read|dot) .*");
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it) found.push_back(it->str());
  return found;
}

dsl::Source with_buffer(const std::string& expression) {
  return mask(expression, {{"t", DType::kI32, 1}, {"g", DType::kBool, 1}});
}

// The condition of the n-th read, as the text that defines its node.
std::string guard(const std::string& expression, std::size_t n = 0) {
  const std::string text = program(with_buffer(expression));
  const std::vector<std::string> found = reads(with_buffer(expression));
  std::smatch match;
  if (n >= found.size() || !std::regex_search(found[n], match, std::regex("if (%\\d+)"))) return "none";
  const std::string id = match[1];
  std::smatch definition;
  std::regex_search(text, definition, std::regex(id + " = ([^:]*) :"));
  return definition[1];
}

TEST(Guards, UnconditionalReadsHaveNone) {
  EXPECT_EQ(guard("t[q] == 3"), "const true");
  EXPECT_EQ(guard("t[q] == 3 && h == 0"), "const true");
  EXPECT_EQ(guard("t[q] > 0 ? true : false"), "const true");
  EXPECT_EQ(guard("t[q] in {1, 2}"), "const true");
}

TEST(Guards, TheRightSideOfAnd) { EXPECT_EQ(guard("q > 3 && g[q]"), "gt %0, %1"); }
TEST(Guards, TheRightSideOfOr) { EXPECT_EQ(guard("q > 3 || g[q]").substr(0, 3), "not"); }
TEST(Guards, BothSidesOfAConditional) {
  EXPECT_EQ(guard("q > 3 ? g[q] : g[kv]", 0), "gt %0, %1");
  EXPECT_EQ(guard("q > 3 ? g[q] : g[kv]", 1).substr(0, 3), "not");
  EXPECT_EQ(guard("where(q > 3, g[q], g[kv])", 1).substr(0, 3), "not");
}
TEST(Guards, BitwiseOperatorsEvaluateBothSides) { EXPECT_EQ(guard("(q > 3) & g[q]"), "const true"); }
TEST(Guards, NestedOnesAreJoined) { EXPECT_EQ(guard("q > 3 && (h > 1 && g[q])").substr(0, 3), "and"); }

TEST(Guards, ALetIsReadWhereItIsUsed) {
  EXPECT_EQ(guard("let x = g[q - 1]; q > 0 && x"), "gt %0, %1");
  EXPECT_EQ(guard("let x = g[q - 1]; x && q > 0"), "const true");
}

TEST(Guards, AnUnconditionalUseServesTheConditionalOnes) {
  EXPECT_EQ(reads(with_buffer("let d = t[q]; d == t[kv] && d != 3")).size(), 2u);
  // The conditional use stands first.
  EXPECT_EQ(reads(with_buffer("let d = t[q]; (h > 0 && d == 2) == (d == 3)")).size(), 1u);
  EXPECT_EQ(guard("let d = t[q]; (h > 0 && d == 2) == (d == 3)"), "const true");
}

TEST(Guards, AWeakerGuardServesAStrongerOne) {
  EXPECT_EQ(reads(with_buffer("let d = t[q]; h > 0 && (d == 1 || d == 2 && d != t[kv])")).size(), 2u);
  EXPECT_EQ(reads(with_buffer("let d = t[q]; (h > 0 && d == 1) || (h > 0 && d == 2)")).size(), 1u);
  EXPECT_EQ(reads(with_buffer("let d = t[q]; (h > 0 && b > 0) ? d == 1 : false")).size(), 1u);
}

TEST(Guards, WhatBothSidesReadIsUnconditional) {
  EXPECT_EQ(reads(with_buffer("let d = t[q]; h > 0 ? d == 1 : d == 2")).size(), 1u);
  EXPECT_EQ(guard("let d = t[q]; h > 0 ? d == 1 : d == 2"), "const true");
  EXPECT_EQ(guard("let d = t[q]; h > 0 ? d == 1 : (b > 0 && d == 2)"), "gt %0, %1");
  std::string chain = "let v0 = t[q]\n";
  for (int i = 0; i < 30; ++i) {
    const std::string v = "v" + std::to_string(i);
    chain += "let v" + std::to_string(i + 1) + " = kv > " + std::to_string(i) + " ? " + v + " + 1 : " + v + " * 2\n";
  }
  EXPECT_EQ(reads(with_buffer(chain + "v30 > 0")).size(), 1u);
}

TEST(Guards, UnrelatedGuardsReadTwice) {
  EXPECT_EQ(reads(with_buffer("let d = t[q]; (h > 0 && d == 1) == (b > 0 && d == 2)")).size(), 2u);
}

TEST(Guards, IndicesAreGuardedToo) {
  const dsl::Source source = with_buffer("q > 0 && t[t[q - 1]] == 2");
  ASSERT_EQ(reads(source).size(), 2u);
  EXPECT_EQ(guard("q > 0 && t[t[q - 1]] == 2", 0), guard("q > 0 && t[t[q - 1]] == 2", 1));
}

TEST(Guards, ValuesWithoutReadsAreSharedAcrossBranches) {
  const std::string text = program(with_buffer("let d = q - kv; h > 0 ? g[d] : g[d + 1]"));
  EXPECT_EQ(text.find("sub"), text.rfind("sub")) << text;
}

TEST(Guards, ADotHasOneToo) {
  const dsl::Source source = file("buffer a : f32[?, 8]\nscore = h > 0 ? score + dot(a[h, :], a[kv, :]) : score");
  ASSERT_EQ(reads(source).size(), 1u);
  EXPECT_NE(reads(source)[0].find("extent 8"), std::string::npos);
}

}  // namespace
}  // namespace flexjit::dsl_test
