// Reductions as text: how they are read and printed, what they leave to others, and which reads of a term are guarded.
#include <gtest/gtest.h>

#include <algorithm>

#include "sources.h"

namespace flexjit::dsl_test {
namespace {

std::size_t count(const std::string& text, const std::string& piece) {
  std::size_t found = 0;
  for (std::size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, at + 1)) ++found;
  return found;
}

dsl::Source with_buffers(const std::string& expression) {
  return mask(expression, {{"at", DType::kI32, 2}, {"len", DType::kI32, 1}}, {{"count", std::int32_t{4}}});
}

TEST(Reductions, PrintAsTheyAreWritten) {
  EXPECT_EQ(tree(mask("any(n in 0..3 : kv==n) and all( m in -1..min(q,4): m<kv)")),
            "# mask_mod\n(any(n in 0..3 : (kv == n)) && all(m in (-1)..min(q, 4) : (m < kv)))\n");
  EXPECT_EQ(tree(score("sum(n in 0..0x2:n)")), "# score_mod\nsum(n in 0..2 : n)\n");
}

TEST(Reductions, TheirNamesAreNotReserved) {
  EXPECT_EQ(errors(file("buffer any : i32[kv_len]\nlet sum = 3\ndef all(x) = x > 2\nmask = all(any[kv_idx] + sum)\n")), "");
  EXPECT_EQ(errors(mask("def any(x) = x; any(kv in {1, 2})")), "");
  EXPECT_EQ(errors(mask("let n = 3; any(n in 0..2 : kv == n) && kv == n")), "");
}

TEST(Reductions, TermsAreReadSideBySide) {
  // No term waits for another: the index is proved or checked, but never under the outcome of the term before it.
  const std::string text = program(with_buffers("any(n in 0..4 : at[q, n] == kv)"));
  EXPECT_EQ(count(text, " = read "), 4U) << text;
  EXPECT_EQ(count(text, "if %0 checked"), 4U) << text;  // %0 is true
}

TEST(Reductions, TermsBehindTheEndReadNothing) {
  const std::string text = program(with_buffers("any(n in 0..min(len[q], 3) : at[q, n] == kv)"));
  EXPECT_EQ(count(text, " = read at"), 3U) << text;
  EXPECT_EQ(count(text, "if %1 checked at 1"), 0U) << text;  // %1 is true
  EXPECT_EQ(count(program(with_buffers("sum(n in 0..count : at[q, n]) == kv")), " = read at"), 32U);
}

TEST(Reductions, AreBoundedByWhatIsInside) {
  EXPECT_EQ(errors(score("sum(a in 0..100 : sum(b in 0..100 : sum(c in 0..100 : a + b + c)))")), "too-complex");
  EXPECT_EQ(errors(score("sum(a in 0..40 : sum(b in 0..40 : a * b + kv))")), "");
}

}  // namespace
}  // namespace flexjit::dsl_test
