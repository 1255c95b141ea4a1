// The oracle against numbers worked out by hand, and what the comparisons refuse: what every other test stands on.
#include <cmath>
#include <limits>

#include "support/comparison.h"
#include "support/encodings.h"

namespace flexjit::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// One query head of two keys with values (1, 10) and (3, 30) and scores 0 and ln 3.
struct TwoKeys : Problem {
  TwoKeys() : Problem({.q_len = 1, .kv_len = 2, .head_dim = 1, .v_head_dim = 2}, {DType::kF64, DType::kF64, DType::kF64}, 9) {
    q.set(0, 2);
    k.fill([](std::size_t i) { return i == 0 ? 0 : std::log(3.0) / 2; });
    v.fill([](std::size_t i) { return (i < 2 ? 1 : 3) * (i % 2 == 0 ? 1 : 10); });
  }
  void write(const OracleResult& result) {
    out.fill([&](std::size_t i) { return result.out[i]; });
    lse.assign(result.lse.begin(), result.lse.end());
    max_scores.assign(result.max_scores.begin(), result.max_scores.end());
  }
};

void expect_oracle(const OraclePattern& pattern, const OracleResult& by_hand) {
  const OracleResult result = oracle(TwoKeys(), pattern);
  EXPECT_TRUE(close(result.out, by_hand.out, {1e-15, 1e-15}));
  EXPECT_TRUE(close(result.lse, by_hand.lse, {1e-15}));
  EXPECT_TRUE(close(result.max_scores, by_hand.max_scores, {1e-15}));
}

TEST(Oracle, ByHand) {
  const double ln3 = std::log(3.0), nan = std::nan("");
  expect_oracle({}, {{2.5, 25}, {std::log(4.0)}, {ln3}});
  expect_oracle({.score = [](Real score, const Position& p) { return score - 5 * p.kv_idx; }, .scale = 0.0},
                {{(1 + 3 * std::exp(-5.0)) / (1 + std::exp(-5.0)), 10 * (1 + 3 * std::exp(-5.0)) / (1 + std::exp(-5.0))},
                 {std::log1p(std::exp(-5.0))},
                 {0}});
  expect_oracle({.sinks = {std::log(6.0)}}, {{1, 10}, {std::log(10.0)}, {ln3}});
  expect_oracle({.mask = [](const Position& p) { return p.kv_idx == 0; }}, {{1, 10}, {0}, {0}});
  const auto none = [](const Position&) { return false; };
  expect_oracle({.mask = none}, {{0, 0}, {-kInf}, {-kInf}});
  expect_oracle({.mask = none, .sinks = {0.5}}, {{0, 0}, {0.5}, {-kInf}});
  expect_oracle({.weights = Weights::kSigmoid}, {{0.5 + 0.75 * 3, 5 + 0.75 * 30}, {nan}, {nan}});
}

TEST(Comparison, RefusesWhatIsOutsideTheBoundsAndSaysWhere) {
  TwoKeys two;
  const OracleResult exact = oracle(two, {});
  const Bounds bounds{.max_scores = Bound{1e-5}};
  const auto refused = [&](const auto& change) {
    two.write(exact);
    EXPECT_TRUE(agrees(two, exact, bounds));
    change();
    const auto result = agrees(two, exact, bounds);
    return result ? std::string() : result.message();
  };
  EXPECT_EQ(refused([&] { two.out.set(1, 25 + 0.9e-5); }), "");
  EXPECT_EQ(
      refused([&] { two.out.set(1, 25.5); }),
      "batch 1, heads 1/1, 1 x 2, head_dim 1, v_head_dim 2, f64_f64_f64, seed 9: 1 of 2 elements differ; the worst, out at "
      "b 0, h 0, q_idx 0, d 1, is 25.5 instead of 25");
  for (const double wrong : {kInf, -kInf, std::nan("")}) EXPECT_NE(refused([&] { two.out.set(0, wrong); }), "") << wrong;
  EXPECT_NE(refused([&] { two.lse[0] += 3e-5F; }).find("lse at b 0, h 0, q_idx 0, is"), std::string::npos);
  EXPECT_NE(refused([&] { two.max_scores[0] += 2e-5F; }).find("max_scores at"), std::string::npos);
  EXPECT_NE(refused([&] { two.poison_outputs(); }), "");
  TwoKeys other;
  other.write(exact);
  two.write(exact);
  EXPECT_TRUE(outputs_identical(other, two));
  other.out.set(0, std::nextafter(other.out[0], kInf));
  EXPECT_FALSE(outputs_identical(other, two));
}

TEST(Encodings, RoundToTheNearestEven) {
  EXPECT_EQ(nearest(DType::kBF16, 1 + 0x1p-8), 1);
  EXPECT_EQ(nearest(DType::kBF16, 1 + 0x3p-8), 1 + 0x1p-6);
  EXPECT_EQ(nearest(DType::kF16, -(1 + 0x1p-11) - 0x1p-30), -(1 + 0x1p-10));
  EXPECT_EQ(nearest(DType::kF16, 65519.9), 65504);
  EXPECT_EQ(nearest(DType::kF16, 65520), kInf);
  EXPECT_EQ(nearest(DType::kF16, 0x1p-25), 0);
  EXPECT_EQ(nearest(DType::kF32, 1 + 0x1p-25), 1);
}

}  // namespace
}  // namespace flexjit::test
