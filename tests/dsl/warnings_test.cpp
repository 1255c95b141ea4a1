// Warnings: which texts have none, and that they stop nothing.
#include <gtest/gtest.h>

#include <filesystem>

#include "source_files.h"
#include "sources.h"

namespace flexjit::dsl_test {
namespace {

// The kinds of all warnings of a text without errors, in order, separated by blanks.
std::string warnings(const dsl::Source& source) {
  const Result<ir::Lowered> lowered = ir::lower_source(source);
  EXPECT_TRUE(lowered.has_value()) << (lowered ? "" : render(lowered.diagnostics()));
  std::string kinds;
  if (!lowered) return kinds;
  for (const Diagnostic& warning : lowered->warnings) {
    EXPECT_EQ(warning.severity, Severity::kWarning);
    kinds += (kinds.empty() ? "" : " ") + warning.kind;
  }
  return kinds;
}

TEST(Warnings, WhatAResultReadsIsUsed) {
  EXPECT_EQ(warnings(file("param n : int\nbuffer t : i32[n]\nlet i = kv_idx % 3\ndef f(x) = t[x]\nmask = f(i) == 1\n")), "");
  EXPECT_EQ(warnings(file("def g(x) = x + 1\ndef f(x) = g(x)\nscore = score + f(h)\n")), "");
  EXPECT_EQ(warnings(file("buffer a : f32[kv_len, 4]\nbuffer c : f32[q_len, 4]\nscore = score + dot(a[kv, :], c[q, :])\n")),
            "");
  EXPECT_EQ(warnings(score("let d = q - kv; score + (let e = d; e * e)")), "");
  EXPECT_EQ(warnings(score("sum(n in 0..3 : n)")), "");
}

TEST(Warnings, ArgumentsAndDeclarationsOfTheCallerMayBeUnused) {
  EXPECT_EQ(warnings(file("def mask_mod(b, h, q_idx, kv_idx) = q_idx >= kv_idx\nmask = mask_mod(b, h, q_idx, kv_idx)\n")), "");
  EXPECT_EQ(warnings(score("score", {{"t", DType::kF32, 1}}, {{"n", std::int32_t{1}}})), "");
}

TEST(Warnings, WhatNothingReads) {
  EXPECT_EQ(warnings(file("let mask_mod = q_idx >= kv_idx\nscore = score * 2\n")), "unused-name");
  EXPECT_EQ(warnings(file("let a = 1\nlet c = a + 1\nscore = score\n")), "unused-name unused-name");
  EXPECT_EQ(warnings(file("def f(x) = (let y = x; 1)\nscore = score + f(2)\n")), "unused-name");
  EXPECT_EQ(warnings(score("sum(n in 0..3 : 1)")), "unused-name");
  // The local one is read, the outer one is not.
  EXPECT_EQ(warnings(score("let a = 1; score + (let a = 2; a)")), "unused-name");
}

TEST(Warnings, EachConstantIsReportedOnce) {
  EXPECT_EQ(warnings(score("def f(x) = x * 65536; score + f(65536) + f(65536) + f(1)")), "constant-overflow");
  EXPECT_EQ(warnings(score("score + 46341 * 46341")), "constant-overflow");
  EXPECT_EQ(warnings(score("score + 46340 * 46340")), "");
  EXPECT_EQ(warnings(score("score + kv * 65536 * 65536")), "");
}

TEST(Warnings, StandBesideErrors) {
  EXPECT_EQ(errors(file("buffer t : f32[65536 * 65536]\nscore = score + t[0]\n")), "extent constant-overflow");
}

TEST(Warnings, ExamplesHaveNone) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(FLEXJIT_DSL_EXAMPLES)) {
    if (entry.path().extension() != ".flex") continue;
    EXPECT_EQ(warnings(file(read_text(entry.path()))), "") << entry.path();
    ++files;
  }
  EXPECT_GT(files, 40);
}

}  // namespace
}  // namespace flexjit::dsl_test
