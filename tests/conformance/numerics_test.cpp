// Where softmax kernels go wrong: rows without a key, infinities and NaN under the mask, huge scores, odd scales.
// Most expectations are computed here by hand, so that an error shared by kernel and reference would be seen.
#include <algorithm>
#include <cmath>

#include "harness.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

constexpr Shape kShape{.batch = 2, .q_heads = 2, .kv_heads = 1, .q_len = 131, .kv_len = 150, .head_dim = 32};

Problem run(const AttentionSpec& spec, const Shape& shape, std::string_view target = "host") {
  Problem tensors(shape);
  compile_or_throw(engine_for(target), spec).run(tensors.args()).value();
  return tensors;
}

bool all_finite(const Problem& t) {
  const auto finite = [](double value) { return std::isfinite(value); };
  return std::ranges::all_of(t.out.values(), finite) && std::ranges::all_of(t.lse, finite);
}

// The mean of the values of keys [0, keys) for column d of the first batch entry and kv head.
double mean_value(const Problem& t, std::int32_t keys, std::int32_t d) {
  double sum = 0;
  for (std::int32_t k = 0; k < keys; ++k) sum += t.v[static_cast<std::size_t>(k * t.shape.value_dim() + d)];
  return sum / keys;
}

TEST(Numerics, RowsWithoutAKeyAreZero) {
  covers("C2", "D37", "G21");
  for (const std::string& target : targets_here()) {
    Problem t = run(spec_of("mask = q_idx < 0", kShape), kShape, target);
    EXPECT_TRUE(std::ranges::all_of(t.out.values(), [](double value) { return value == 0 && !std::signbit(value); }));
    EXPECT_TRUE(std::all_of(t.lse.begin(), t.lse.end(), [](float value) { return value == -INFINITY; }));
  }
}

TEST(Numerics, RowsWithoutAKeyAmongOthers) {
  AttentionSpec spec = spec_of("mask = q_idx % 3 != 1 && kv_idx > 70", kShape);
  expect_matches_reference(spec, kShape, nullptr);
  Problem t = run(spec, kShape);
  for (std::size_t row = 0; row < t.lse.size(); ++row) {
    bool empty = row % static_cast<std::size_t>(kShape.q_len) % 3 == 1;
    EXPECT_EQ(t.lse[row] == -INFINITY, empty);
    EXPECT_EQ(t.out[row * 32] == 0.0F, empty);
  }
}

TEST(Numerics, ScoresOfMinusInfinityAreMasked) {
  AttentionSpec spec = spec_of("score = q_idx < 40 ? -inf : score", kShape);
  expect_matches_reference(spec, kShape, nullptr);
  Problem t = run(spec, kShape);
  EXPECT_EQ(t.lse[39], -INFINITY);
  EXPECT_EQ(t.out[39 * 32], 0.0F);
  EXPECT_TRUE(std::isfinite(t.lse[40]));
}

TEST(Numerics, TheMaskHidesWhatTheScoreMakesOfForbiddenPairs) {
  covers("F19");
  for (const char* score : {"score + log(q_idx - kv_idx + 1)", "score + 0.0 / (kv_idx <= q_idx ? 1.0 : 0.0)",
                            "kv_idx > q_idx ? inf : score", "score + sqrt(q_idx - kv_idx)"}) {
    AttentionSpec spec;
    spec.score_mod = score;
    spec.mask_mod = "q_idx >= kv_idx";
    spec.head_dim = kShape.head_dim;
    expect_matches_reference(spec, kShape, nullptr);
    Problem t = run(spec, kShape);
    EXPECT_TRUE(all_finite(t)) << score;
  }
}

TEST(Numerics, NanScoresOfAllowedPairsStayVisible) {
  Problem t = run(spec_of("score = q_idx == 5 && kv_idx == 100 ? sqrt(-1.0) : score", kShape), kShape);
  EXPECT_TRUE(std::isnan(t.out[5 * 32]));
  EXPECT_TRUE(std::isnan(t.lse[5]));
  EXPECT_TRUE(std::isfinite(t.out[4 * 32]) && std::isfinite(t.out[6 * 32]));
}

TEST(Numerics, HugeScoresDoNotOverflow) {
  covers("E18");
  for (const char* program :
       {"score = 10000.0 + score", "score = score - 10000.0", "score = kv_idx % 2 == 0 ? 10000.0 : -10000.0",
        "score = (kv_idx - 75) * 130.0", "score = (75 - kv_idx) * 130.0"}) {
    Problem t = run(spec_of(program, kShape), kShape);
    EXPECT_TRUE(all_finite(t)) << program;
    EXPECT_NEAR(std::abs(t.lse[0]), 1e4, 500) << program;
  }
}

TEST(Numerics, TheLargestScoreTakesAll) {
  Problem t = run(spec_of("score = (kv_idx - 75) * 130.0", kShape), kShape);
  for (std::size_t d = 0; d < 32; ++d) EXPECT_FLOAT_EQ(t.out[d], t.v[149 * 32 + d]);
}

// Integer scores: adding 1000 is then exact in fp32, and nothing but the shift is tested.
TEST(Numerics, AShiftOfAllScoresChangesNoOutput) {
  covers("E18");
  for (const std::string& target : targets_here()) {
    Problem plain = run(spec_of("score = float((q_idx * 7 + kv_idx * 13) % 5)", kShape), kShape, target);
    Problem shifted = run(spec_of("score = float((q_idx * 7 + kv_idx * 13) % 5) + 1000.0", kShape), kShape, target);
    for (float& value : shifted.lse) value -= 1000.0F;
    EXPECT_TRUE(agrees(shifted, outputs_of(plain), {.lse = {2e-4}}));
  }
}

TEST(Numerics, ScaleZeroAveragesTheAllowedValues) {
  covers("E03");
  AttentionSpec spec = spec_of("mask = q_idx >= kv_idx", kShape);
  spec.scale = 0.0F;
  Problem t = run(spec, kShape);
  for (std::int32_t q : {0, 1, 63, 64, 130}) {
    for (std::int32_t d : {0, 13, 31}) EXPECT_NEAR(t.out[static_cast<std::size_t>(q * 32 + d)], mean_value(t, q + 1, d), 1e-5);
    EXPECT_NEAR(t.lse[static_cast<std::size_t>(q)], std::log(q + 1.0), 1e-5);
  }
}

// With one key the log-sum-exp is the score itself.
TEST(Numerics, ActivationsKeepTheirDigitsAndLimits) {
  const std::vector<float> x{-INFINITY, -3e38F, -200.0F, -100.0F, -87.0F, -20.0F, -1.0F,
                             0.0F,      1e-30F, 0.5F,    20.0F,   89.0F,  1e6F};
  const auto count = static_cast<std::int32_t>(x.size());
  const Shape shape{.q_len = count, .kv_len = 1, .head_dim = 8};
  const auto sigmoid = [](double v) { return v < 0 ? std::exp(v) / (1 + std::exp(v)) : 1 / (1 + std::exp(-v)); };
  for (const std::string& target : targets_here()) {
    for (bool silu : {false, true}) {
      Captures captures;
      captures.add("x", {count}, x);
      const AttentionSpec spec =
          spec_of(std::string("buffer x : f32[q_len]\nscore = ") + (silu ? "silu" : "sigmoid") + "(x[q_idx])", shape);
      Problem t(shape);
      compile_or_throw(engine_for(target), spec).run(t.args(&captures.bindings())).value();
      for (std::size_t i = 0; i < x.size(); ++i) {
        const auto value = static_cast<double>(x[i]);
        double exact = sigmoid(value);
        if (silu) exact = value < -200 ? 0 : value * exact;
        EXPECT_NEAR(static_cast<double>(t.lse[i]), exact, std::abs(exact) * 1e-6 + 0x1p-126) << target << ", " << x[i];
      }
    }
  }
}

TEST(Numerics, AnyScale) {
  covers("E03");
  for (float scale : {-0.25F, 1.0F, -3.0F, 0.001F}) {
    AttentionSpec spec = spec_of("score = score + 0.01 * (kv_idx - q_idx)", kShape);
    spec.scale = scale;
    expect_matches_reference(spec, kShape, nullptr, {3e-5});
  }
}

TEST(Numerics, OneAllowedKeyCopiesItsValue) {
  Problem t = run(spec_of("mask = kv_idx == q_idx", kShape), kShape);
  for (std::size_t i = 0; i < static_cast<std::size_t>(kShape.q_len) * 32; ++i) EXPECT_FLOAT_EQ(t.out[i], t.v[i]);
}

}  // namespace
}  // namespace flexjit::conformance
