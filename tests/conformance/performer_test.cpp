// Random features: what they estimate, how well, and that orthogonal ones do it better than independent ones.
#include <cmath>

#include "harness.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

std::vector<float> features(std::int32_t count, std::int32_t dims, std::uint64_t seed, bool orthogonal = true) {
  return random_features({.features = count, .head_dim = dims, .seed = seed, .orthogonal = orthogonal}).value();
}

TEST(RandomFeatures, BlocksAreOrthogonal) {
  covers("X05");
  constexpr std::size_t kDims = 24;
  const std::vector<float> w = features(70, kDims, 5);
  double squares = 0;
  for (std::size_t a = 0; a < 70; ++a) {
    for (std::size_t b = 0; b <= a; ++b) {
      double dot = 0;
      for (std::size_t d = 0; d < kDims; ++d) dot += static_cast<double>(w[a * kDims + d]) * w[b * kDims + d];
      if (a == b) squares += dot;
      if (a != b && a / kDims == b / kDims) EXPECT_NEAR(dot, 0, 1e-5) << a << ", " << b;
    }
  }
  EXPECT_NEAR(squares / 70, kDims, 4);  // chi-squared of 24 degrees
  const std::vector<float> same = random_features({.features = 3, .head_dim = 16, .lengths = RowLengths::kRoot}).value();
  double length = 0;
  for (std::size_t d = 0; d < 16; ++d) length += static_cast<double>(same[d]) * same[d];
  EXPECT_NEAR(length, 16, 1e-5);
  EXPECT_EQ(features(70, kDims, 5), w);
  EXPECT_NE(features(70, kDims, 6), w);
  EXPECT_EQ(random_features({.features = 0}).diagnostics()[0].kind, "bad-option");
  EXPECT_EQ(random_features({.head_dim = 1025}).diagnostics()[0].kind, "bad-option");
}

// E[phi(q) . phi(k)] = exp(q . k / sqrt(d)): the mean of many draws, within four of its standard errors.
TEST(RandomFeatures, AreUnbiased) {
  covers("X05");
  constexpr std::size_t kDims = 16, kFeatures = 16;
  Random random(2);
  const std::vector<float> q = random.normals(kDims, 0.5F), k = random.normals(kDims, 0.5F);
  const double c = std::pow(16.0, -0.25);
  double dot = 0, q_half = 0, k_half = 0;
  for (std::size_t d = 0; d < kDims; ++d) {
    dot += static_cast<double>(q[d]) * k[d];
    q_half += c * c / 2 * q[d] * q[d];
    k_half += c * c / 2 * k[d] * k[d];
  }
  for (const bool orthogonal : {true, false}) {
    double sum = 0, squares = 0;
    constexpr int kDraws = 4000;
    for (int draw = 0; draw < kDraws; ++draw) {
      const std::vector<float> w = features(kFeatures, kDims, static_cast<std::uint64_t>(draw), orthogonal);
      double estimate = 0;
      for (std::size_t f = 0; f < kFeatures; ++f) {
        double along = 0;
        for (std::size_t d = 0; d < kDims; ++d) along += c * w[f * kDims + d] * (static_cast<double>(q[d]) + k[d]);
        estimate += std::exp(along - q_half - k_half) / kFeatures;
      }
      sum += estimate;
      squares += estimate * estimate;
    }
    const double mean = sum / kDraws, error = std::sqrt((squares / kDraws - mean * mean) / kDraws);
    EXPECT_NEAR(mean, std::exp(dot / 4), 4 * error) << orthogonal;
  }
}

// The relative error of the output against the exact softmax, the mean of trials: the table of section 9.2.
double error_of(std::int32_t count, bool orthogonal, int trials) {
  constexpr Shape kTokens{.q_len = 256, .kv_len = 256, .head_dim = 64};
  const Attention exact = compile_or_throw(engine_for("host"), spec_of("", kTokens));
  const Attention linear = compile_or_throw(engine_for("host"), performer({.head_dim = 64, .features = count}));
  double sum = 0;
  for (int trial = 0; trial < trials; ++trial) {
    const auto seed = static_cast<std::uint64_t>(trial + 1);
    Problem a(kTokens, {}, seed), b(kTokens, {}, seed);
    for (Problem* problem : {&a, &b}) {
      for (Tensor* tensor : {&problem->q, &problem->k}) tensor->fill([&](std::size_t i) { return (*tensor)[i] / 4; });
    }
    exact.run(a.args()).value();
    Captures captures;
    captures.add("W", {count, 64}, features(count, 64, 100 + seed, orthogonal));
    RunArgs args = b.args(&captures.bindings());
    args.lse = {};
    linear.run(args).value();
    double difference = 0, whole = 0;
    for (std::size_t i = 0; i < a.out.size(); ++i) {
      difference += (a.out[i] - b.out[i]) * (a.out[i] - b.out[i]);
      whole += a.out[i] * a.out[i];
    }
    sum += std::sqrt(difference / whole);
  }
  return sum / trials;
}

TEST(Performer, TheErrorOfItsFeatures) {
  covers("X05");
  const struct {
    std::int32_t features;
    double orthogonal, independent;
  } kTable[] = {{64, 0.116, 0.141}, {256, 0.059, 0.070}, {1024, 0.028, 0.036}};
  double before = 0;
  for (const auto& [count, orthogonal, independent] : kTable) {
    const double with = error_of(count, true, 20), without = error_of(count, false, 20);
    RecordProperty("features_" + std::to_string(count), std::to_string(with) + " " + std::to_string(without));
    EXPECT_NEAR(with, orthogonal, 0.2 * orthogonal) << count;
    EXPECT_NEAR(without, independent, 0.2 * independent) << count;
    EXPECT_LE(with, without);
    if (before != 0) EXPECT_NEAR(with / before, 0.5, 0.15);
    before = with;
  }
}

}  // namespace
}  // namespace flexjit::conformance
