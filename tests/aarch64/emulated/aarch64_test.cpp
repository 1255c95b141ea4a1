// NEON kernels, run: every pattern, head dims and lengths with tails in every direction, grouped heads, faults. Each is
// compared with the naive fp64 reference, which shares no code with the kernels and runs in the same process.
#include <ostream>

#include "patterns.h"
#include "support/sample.h"

namespace flexjit::conformance {

// GoogleTest finds it by name.
void PrintTo(const Pattern& pattern, std::ostream* out) { *out << pattern.program; }

namespace {

class Patterns : public testing::TestWithParam<Pattern> {};

std::vector<Pattern> all_patterns() {
  std::vector<Pattern> all(mask_patterns().begin(), mask_patterns().end());
  all.insert(all.end(), score_patterns().begin(), score_patterns().end());
  return all;
}

TEST_P(Patterns, MatchTheReference) {
  const Pattern& pattern = GetParam();
  if (!in_sample(pattern.name)) GTEST_SKIP() << "not in this sample";
  const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 53, .kv_len = 69, .head_dim = 20};
  Captures captures;
  if (pattern.bind != nullptr) pattern.bind(shape, captures);
  expect_matches_reference(spec_of(pattern.program, shape), shape, &captures.bindings(), {pattern.tolerance});
}

INSTANTIATE_TEST_SUITE_P(All, Patterns, testing::ValuesIn(all_patterns()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(FunctionPatterns, EveryFunctionOfTheLanguage) {
  constexpr Shape kShape{.q_heads = 2, .kv_heads = 1, .q_len = 19, .kv_len = 37, .head_dim = 16};
  for (const char* function : {"tanh(score)",
                               "sigmoid(score)",
                               "erf(score)",
                               "gelu(score)",
                               "silu(score)",
                               "sin(score)",
                               "cos(score)",
                               "exp(score)",
                               "exp2(score)",
                               "log(abs(score) + 0.01)",
                               "log2(abs(score) + 0.01)",
                               "log1p(abs(score))",
                               "pow(abs(score), 1.5)",
                               "sqrt(abs(score))",
                               "rsqrt(abs(score) + 0.01)",
                               "floor(score * 3)",
                               "ceil(score * 3)",
                               "round(score * 3)",
                               "score + kv_idx // (q_idx + 1) - kv_idx % 7",
                               "score + (kv_idx - 20) // (num_heads + 1) + (kv_idx - 20) % q_len"}) {
    const auto program = std::string("score = ") + function;
    expect_matches_reference(spec_of(program, kShape), kShape, nullptr, {1e-4});
  }
}

constexpr const char* kBiasedBand = "score = score + 0.02 * (kv_idx - q_idx) * (h + 1)\nmask = kv_idx <= q_idx + 20";

TEST(Shapes, HeadDims) {
  for (std::int32_t head_dim : {1, 3, 20, 40, 64, 80, 128}) {
    Shape shape{.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 53, .kv_len = 83, .head_dim = head_dim};
    expect_matches_reference(spec_of(kBiasedBand, shape), shape, nullptr);
    shape.v_head_dim = head_dim == 40 ? 17 : 40;
    expect_matches_reference(spec_of(kBiasedBand, shape), shape, nullptr);
  }
}

TEST(Shapes, LengthsAroundTileEdges) {
  for (std::int32_t length : {1, 2, 15, 16, 17, 47, 48, 49, 255, 256, 257}) {
    for (auto [q_len, kv_len] : {std::pair{length, std::int32_t{10}}, std::pair{std::int32_t{10}, length}}) {
      const Shape shape{.q_heads = 2, .kv_heads = 1, .q_len = q_len, .kv_len = kv_len, .head_dim = 24};
      expect_matches_reference(spec_of("mask = q_idx + 240 >= kv_idx", shape), shape, nullptr);
    }
  }
}

TEST(Shapes, GroupedHeads) {
  for (auto [q_heads, kv_heads] : {std::pair{4, 4}, std::pair{8, 2}, std::pair{7, 1}}) {
    const Shape shape{.batch = 2, .q_heads = q_heads, .kv_heads = kv_heads, .q_len = 21, .kv_len = 35, .head_dim = 16};
    expect_matches_reference(spec_of("score = score + 0.1 * kv_head - 0.05 * h * num_kv_heads", shape), shape, nullptr);
  }
}

TEST(Errors, AReadOutsideItsBufferIsReported) {
  const Shape shape{.q_heads = 2, .kv_heads = 1, .q_len = 30, .kv_len = 40, .head_dim = 16};
  Captures captures;
  captures.add("t", {35}, std::vector<float>(35, 0.5F));
  const Attention attention =
      compile_or_throw(engine_for("host"), spec_of("buffer t : f32[?]\nscore = score + t[kv_idx]", shape));
  Problem tensors(shape);
  const Result<RunStats> outcome = attention.run(tensors.args(&captures.bindings()));
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.diagnostics().front().kind, "buffer-read");
  EXPECT_NE(outcome.diagnostics().front().message.find("35"), std::string::npos) << render(outcome.diagnostics());
}

}  // namespace
}  // namespace flexjit::conformance
