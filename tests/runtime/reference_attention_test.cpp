// The reference against numbers worked out by hand or by another route, and its rules for masked, infinite and NaN scores.
#include "reference/reference_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "fake_kernel.h"

namespace flexjit {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr float kFloatInf = std::numeric_limits<float>::infinity();

// One head of two keys with values (1, 10) and (3, 30); q.k = 0 and ln 3.
struct TwoKeys {
  float q[1] = {1};
  float k[2] = {0, std::log(3.0F)};
  float v[4] = {1, 10, 3, 30};
  float out[2] = {7, 7};
  float lse[1] = {7};

  bool run(const reference::ReferencePattern& pattern) {
    plan::Operands launch{};
    launch.q = {q, 1, 1, 1};
    launch.k = {k, 2, 2, 1};
    launch.v = {v, 4, 4, 2};
    launch.out = {out, 2, 2, 2};
    launch.lse.data = lse;
    launch.batch_size = launch.num_heads = launch.num_kv_heads = launch.q_len = 1;
    launch.kv_len = 2;
    launch.scale = 1;
    const std::vector<plan::Sequence> sequences = plan::batch_of(launch.batch_size, launch.q_len, launch.kv_len);
    return reference::reference_attention(launch, {.head_dim = 1, .v_head_dim = 2}, {sequences}, pattern);
  }
};

TEST(ReferenceAttention, TwoKeysByHand) {
  TwoKeys two;
  ASSERT_TRUE(two.run([](const reference::ReferenceRow&, std::span<double>) { return true; }));
  EXPECT_NEAR(two.out[0], 0.25 * 1 + 0.75 * 3, 1e-6);
  EXPECT_NEAR(two.out[1], 0.25 * 10 + 0.75 * 30, 1e-5);
  EXPECT_NEAR(two.lse[0], std::log(4.0), 1e-6);
}

TEST(ReferenceAttention, MaskedKeyContributesNothing) {
  TwoKeys two;
  two.v[2] = std::numeric_limits<float>::quiet_NaN();
  two.run([](const reference::ReferenceRow&, std::span<double> scores) {
    scores[1] = -kInf;
    return true;
  });
  EXPECT_EQ(two.out[0], 1.0F);
  EXPECT_EQ(two.out[1], 10.0F);
  EXPECT_EQ(two.lse[0], 0.0F);
}

TEST(ReferenceAttention, AllMaskedIsZeroAndMinusInfinity) {
  TwoKeys two;
  two.run([](const reference::ReferenceRow&, std::span<double> scores) {
    scores[0] = scores[1] = -kInf;
    return true;
  });
  EXPECT_EQ(two.out[0], 0.0F);
  EXPECT_EQ(two.out[1], 0.0F);
  EXPECT_EQ(two.lse[0], -kFloatInf);
}

TEST(ReferenceAttention, NanAndInfinityPropagate) {
  for (double bad : {kInf, std::numeric_limits<double>::quiet_NaN()}) {
    for (double other : {0.0, -kInf}) {
      TwoKeys two;
      two.run([&](const reference::ReferenceRow&, std::span<double> scores) {
        scores[0] = other;
        scores[1] = bad;
        return true;
      });
      EXPECT_TRUE(std::isnan(two.out[0])) << bad << " beside " << other;
      EXPECT_TRUE(std::isnan(two.lse[0])) << bad << " beside " << other;
    }
  }
}

TEST(ReferenceAttention, LargeScoresDoNotOverflow) {
  TwoKeys two;
  two.run([](const reference::ReferenceRow&, std::span<double> scores) {
    scores[0] = -1e4;
    scores[1] = 1e4;
    return true;
  });
  EXPECT_EQ(two.out[0], 3.0F);
  EXPECT_EQ(two.lse[0], 1e4F);
}

// 1.5 times the largest number, less infinity, or less as much: it has no sum on the way that is not a number.
TEST(ReferenceAttention, SumsOfFp64ValuesMayPassTheLargestNumber) {
  constexpr double kLargest = std::numeric_limits<double>::max();
  double q[1] = {0}, k[3] = {0, 0, 0}, v[6] = {kLargest, kLargest, kLargest, kLargest, -kInf, -kLargest}, out[2] = {7, 7};
  plan::Operands launch{};
  launch.q = {q, 1, 1, 1};
  launch.k = {k, 3, 3, 1};
  launch.v = {v, 6, 6, 2};
  launch.out = {out, 2, 2, 2};
  launch.batch_size = launch.num_heads = launch.num_kv_heads = launch.q_len = 1;
  launch.kv_len = 3;
  launch.scale = 1;
  const plan::ElementTypes types{.q = DType::kF64, .kv = DType::kF64, .out = DType::kF64};
  const reference::ReferenceKernel kernel{.types = types, .weights = plan::Weights::kSigmoid, .head_dim = 1, .v_head_dim = 2};
  const std::vector<plan::Sequence> sequences = plan::batch_of(launch.batch_size, launch.q_len, launch.kv_len);
  ASSERT_TRUE(
      reference::reference_attention(launch, kernel, {sequences}, [](const reference::ReferenceRow&, std::span<double> scores) {
        std::ranges::fill(scores, 2.0);
        return true;
      }));
  EXPECT_EQ(out[0], -kInf);
  EXPECT_NEAR(out[1] / kLargest, 1 / (1 + std::exp(-2.0)), 1e-15);
}

TEST(ReferenceAttention, StopsWhereThePatternFails) {
  TwoKeys two;
  EXPECT_FALSE(two.run([](const reference::ReferenceRow&, std::span<double>) { return false; }));
  EXPECT_EQ(two.out[0], 7.0F);
}

TEST(ReferenceAttention, GroupsStridesAndPositions) {
  test::LaunchProblem problem({2, 6, 2, 9, 21, 8, 5}, false);
  problem.state.allowed = [](int b, int h, int q, int kv) { return (b + h + q + kv) % 3 != 0; };
  // The output goes to a (batch, length, heads, dim) array and the lse to every second place.
  problem.out = test::Tensor(DType::kF32, {2, 6, 9, 5}, test::length_first);
  problem.launch.out = test::arg_of(problem.out);
  std::vector<float> lse(2 * problem.lse.size());
  problem.launch.lse.data = lse.data();
  problem.launch.lse.stride_batch = 2 * 6 * 9;
  problem.launch.lse.stride_head = 2 * 9;
  problem.launch.lse.stride_row = 2;
  const std::vector<plan::Sequence> sequences =
      plan::batch_of(problem.launch.batch_size, problem.launch.q_len, problem.launch.kv_len);
  ASSERT_TRUE(reference::reference_attention(problem.launch, {.head_dim = 8, .v_head_dim = 5}, {sequences},
                                             [&](const reference::ReferenceRow& row, std::span<double> s) {
                                               for (int kv = 0; kv < 21; ++kv) {
                                                 if (!problem.state.allowed(row.b(), row.h, row.q_idx, kv))
                                                   s[static_cast<std::size_t>(kv)] = -kInf;
                                               }
                                               return true;
                                             }));
  for (std::size_t row = 0; row < problem.lse.size(); ++row) problem.lse[row] = lse[2 * row];
  EXPECT_TRUE(problem.is_exact({1e-6}));
}

}  // namespace
}  // namespace flexjit
