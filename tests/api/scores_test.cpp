// Attention::scores against scores written down by hand or by plain loops, what it keeps of NaN and infinities, and what it
// says of rows that do not exist.
#include <gtest/gtest.h>

#include <cmath>

#include "flexjit/flexjit.h"
#include "support/checklist.h"
#include "support/problem.h"

namespace flexjit::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Attention compiled(const AttentionSpec& spec) {
  EngineOptions options;
  options.backend = Backend::kReference;
  return Engine(options).compile(spec).value();
}

AttentionSpec program(const std::string& text, std::int32_t head_dim, std::optional<float> scale = {}) {
  AttentionSpec spec;
  spec.program = text;
  spec.head_dim = head_dim;
  spec.scale = scale;
  return spec;
}

// q = (1, 2, 3), k = (1, 10, 100), one number each.
struct Tiny {
  std::vector<float> q = {1, 2, 3}, k = {1, 10, 100}, out = std::vector<float>(3);
  RunArgs args() {
    return {.q = TensorView(q.data(), DType::kF32, {1, 1, 3, 1}),
            .k = TensorView(k.data(), DType::kF32, {1, 1, 3, 1}),
            .v = TensorView(k.data(), DType::kF32, {1, 1, 3, 1}),
            .out = MutableTensorView(out.data(), DType::kF32, {1, 1, 3, 1})};
  }
};

TEST(Scores, ByHand) {
  Tiny tiny;
  const Attention attention = compiled(program("score = score + 0.25 * kv_idx\nmask = q_idx >= kv_idx", 1, 0.5F));
  EXPECT_EQ(attention.scores(tiny.args(), {.q = {0, 3}}).value(),
            (std::vector<float>{0.5F, -kInfinity, -kInfinity, 1, 10.25F, -kInfinity, 1.5F, 15.25F, 150.5F}));
  EXPECT_EQ(attention.scores(tiny.args(), {.q = {1, 2}}).value(), (std::vector<float>{1, 10.25F, -kInfinity}));
  EXPECT_TRUE(attention.scores(tiny.args(), {.q = {2, 2}}).value().empty());
  EXPECT_EQ(tiny.out, std::vector<float>(3)) << "outputs are left alone";
}

TEST(Scores, FlagsTakePart) {
  Tiny tiny;
  AttentionSpec spec = program("score = score + 1", 1, 1);
  spec.softcap = 2.0F;
  spec.causal = true;
  const std::vector<float> scores = compiled(spec).scores(tiny.args(), {.q = {1, 2}}).value();
  EXPECT_FLOAT_EQ(scores[0], 2 * std::tanh(1.0F) + 1);
  EXPECT_FLOAT_EQ(scores[1], 2 * std::tanh(10.0F) + 1);
  EXPECT_EQ(scores[2], -kInfinity);
}

TEST(Scores, NanAndInfinitiesAreKeptAndTheMaskWins) {
  Tiny tiny;
  const Attention attention =
      compiled(program("score = kv_idx == 0 ? 0.0 / (score - score) : inf\nmask = q_idx > 0 || kv_idx > 0", 1, 1));
  const std::vector<float> scores = attention.scores(tiny.args(), {.q = {0, 2}}).value();
  EXPECT_EQ(scores[0], -kInfinity) << "a NaN that is masked";
  EXPECT_EQ(scores[1], kInfinity);
  EXPECT_TRUE(std::isnan(scores[3]));
  EXPECT_EQ(scores[4], kInfinity);
  tiny.k[1] = std::nanf("");
  EXPECT_TRUE(std::isnan(compiled(program("score = score", 1)).scores(tiny.args(), {.q = {0, 1}}).value()[1]));
}

double expected_score(const Problem& problem, std::int32_t b, std::int32_t h, std::int32_t q, std::int32_t kv) {
  const Shape& s = problem.shape;
  if (kv % (b + 2) != 0) return -std::numeric_limits<double>::infinity();
  const std::int32_t kv_head = h / (s.q_heads / s.kv_heads);
  double dot = 0;
  for (std::int32_t d = 0; d < s.head_dim; ++d) {
    dot += problem.q[static_cast<std::size_t>(((b * s.q_heads + h) * s.q_len + q) * s.head_dim + d)] *
           problem.k[static_cast<std::size_t>(((b * s.kv_heads + kv_head) * s.kv_len + kv) * s.head_dim + d)];
  }
  return dot / std::sqrt(static_cast<double>(s.head_dim)) * static_cast<double>(h + 1) + static_cast<double>(q);
}

// More keys than the interpreter takes at once, grouped heads, and every choice of planes.
TEST(Scores, PlanesOfAllOrOneBatchEntryAndHead) {
  Problem problem({.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 5, .kv_len = 300, .head_dim = 8});
  const Attention attention = compiled(program("score = score * (h + 1) + q_idx\nmask = kv_idx % (b + 2) == 0", 8));
  using Choice = std::optional<std::int32_t>;
  for (const Choice b : {Choice{}, Choice{1}}) {
    for (const Choice h : {Choice{}, Choice{2}}) {
      const std::vector<float> scores = attention.scores(problem.args(), {.q = {1, 4}, .b = b, .h = h}).value();
      std::size_t i = 0;
      for (std::int32_t bi = b.value_or(0); bi < (b ? *b + 1 : 2); ++bi)
        for (std::int32_t hi = h.value_or(0); hi < (h ? *h + 1 : 4); ++hi)
          for (std::int32_t q = 1; q < 4; ++q)
            for (std::int32_t kv = 0; kv < 300; ++kv, ++i) {
              ASSERT_LT(i, scores.size());
              const double wanted = expected_score(problem, bi, hi, q, kv);
              if (std::isinf(wanted)) {
                ASSERT_EQ(scores[i], -kInfinity) << bi << hi << q << " " << kv;
              } else {
                ASSERT_NEAR(static_cast<double>(scores[i]), wanted, 1e-5) << bi << hi << q << " " << kv;
              }
            }
      EXPECT_EQ(i, scores.size());
    }
  }
}

TEST(Scores, OfAKernelTheyExplainItsLse) {
  covers("I09");
  Problem problem({.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 20, .kv_len = 70, .head_dim = 8});
  AttentionSpec spec = program("score = score - 0.1 * abs(q_idx - kv_idx)\nmask = q_idx >= kv_idx", 8);
  const Attention attention = Engine().compile(spec).value();
  ASSERT_TRUE(attention.run(problem.args()).has_value());
  const std::vector<float> scores = attention.scores(problem.args(), {.q = {0, 20}}).value();
  for (std::size_t row = 0; row < 40; ++row) {
    double sum = 0;
    for (std::size_t kv = 0; kv < 70; ++kv) sum += std::exp(static_cast<double>(scores[row * 70 + kv]));
    EXPECT_NEAR(std::log(sum), static_cast<double>(problem.lse[row]), 1e-5) << row;
  }
}

TEST(Scores, AGivenBlockMaskMasks) {
  Problem problem({.q_len = 64, .kv_len = 64, .head_dim = 8});
  const Attention causal = compiled(program("mask = q_idx >= kv_idx", 8)), plain = compiled(program("score = score", 8));
  const BlockMask mask = causal.create_block_mask({.q_len = 64, .kv_len = 64, .q_block = 32, .kv_block = 32}).value();
  RunArgs args = problem.args();
  args.block_mask = &mask;
  const std::vector<float> scores = plain.scores(args, {.q = {0, 64}}).value();
  for (std::size_t q = 0; q < 64; ++q)
    for (std::size_t kv = 0; kv < 64; ++kv) EXPECT_EQ(scores[q * 64 + kv] == -kInfinity, q < 32 && kv >= 32) << q << " " << kv;
}

TEST(Scores, SaysWhatIsWrong) {
  Tiny tiny;
  const Attention attention = compiled(program("score = score", 1));
  const auto said = [&](const ScoreRows& rows) {
    const auto result = attention.scores(tiny.args(), rows);
    return result ? std::string() : render(result.diagnostics());
  };
  EXPECT_EQ(said({.q = {0, 3}, .b = 0, .h = 0}), "");
  EXPECT_EQ(said({.q = {0, 4}}), "scores: error: ScoreRows::q is [0, 4); it must be inside [0, 3)\n");
  EXPECT_EQ(said({.q = {2, 1}, .h = 1}),
            "scores: error: ScoreRows::h is 1; there are 1, numbered from 0\n"
            "scores: error: ScoreRows::q is [2, 1); it must be inside [0, 3)\n");
  EXPECT_EQ(said({.q = {0, 1}, .b = -1}), "scores: error: ScoreRows::b is -1; there are 1, numbered from 0\n");

  // A long expanded tensor: nothing as large as its scores is there, or made.
  const std::int64_t length = std::int64_t{1} << 20;
  RunArgs args = tiny.args();
  args.q = args.k = args.v = TensorView(tiny.q.data(), DType::kF32, {1, 1, length, 1});
  args.q.strides = args.k.strides = args.v.strides = {0, 0, 0, 1};
  std::vector<float> out(static_cast<std::size_t>(length));
  args.out = MutableTensorView(out.data(), DType::kF32, {1, 1, length, 1});
  const auto large = attention.scores(args, {.q = {0, 65}});
  ASSERT_FALSE(large.has_value());
  EXPECT_EQ(
      render(large.diagnostics()),
      "scores: error: the number of scores is 65 x 1048576; take fewer rows, or one head: at most 67108864 come at once\n");

  const Attention reading = compiled(program("buffer t : f32[?]\nscore = score + t[kv_idx]", 1));
  Bindings bindings;
  bindings.buffers["t"] = TensorView(tiny.q.data(), DType::kF32, {2});
  args = tiny.args();
  args.bindings = &bindings;
  const auto fault = reading.scores(args, {.q = {0, 1}});
  ASSERT_FALSE(fault.has_value());
  EXPECT_EQ(fault.diagnostics().front().kind, "buffer-read");
  EXPECT_FALSE(reading.scores(tiny.args(), {.q = {0, 1}}).has_value()) << "t is not bound";
}

}  // namespace
}  // namespace flexjit::test
