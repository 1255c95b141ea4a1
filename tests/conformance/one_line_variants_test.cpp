// Variants that need no more than what there is: by their own formulas, not by the engine's names for them.
#include <algorithm>
#include <cmath>

#include "harness.h"
#include "rotary_oracle.h"
#include "support/gradients.h"
#include "support/sample.h"

namespace flexjit::conformance {
namespace {

Problem ran(const AttentionSpec& spec, Problem problem, const Bindings* bindings = nullptr) {
  compile_or_throw(engine_for("host"), spec).run(problem.args(bindings)).value();
  return problem;
}

// B18: two softmaxes over the same values, of twice the heads' width, the second taken off: weights may be negative, and are
// not divided again.
TEST(OneLine, DifferentialAttentionIsTwoCalls) {
  const Shape shape{.batch = 1, .q_heads = 2, .kv_heads = 2, .q_len = 30, .kv_len = 30, .head_dim = 16, .v_head_dim = 32};
  const double lambda = 0.8 - 0.6 * std::exp(-0.3 * 0);  // of the first layer: 0.2
  EXPECT_NEAR(lambda, 0.2, 1e-12);
  Problem first(shape, {}, 1), second(shape, {}, 2);
  second.v = first.v;
  const AttentionSpec spec = spec_of("mask = kv_idx <= q_idx", shape);
  const Problem one = ran(spec, first), two = ran(spec, second);
  std::vector<double> out(one.out.size()), expected(out.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = one.out[i] - lambda * two.out[i];
  for (std::size_t h = 0; h < 2; ++h) {
    for (std::size_t q = 0; q < 30; ++q) {
      const auto weights_of = [&](const Problem& problem) {
        std::vector<double> weights(q + 1);
        double sum = 0;
        for (std::size_t k = 0; k <= q; ++k) {
          double score = 0;
          for (std::size_t d = 0; d < 16; ++d) score += problem.q[(h * 30 + q) * 16 + d] * problem.k[(h * 30 + k) * 16 + d];
          sum += weights[k] = std::exp(score / 4);
        }
        for (double& each : weights) each /= sum;
        return weights;
      };
      const std::vector<double> plus = weights_of(first), minus = weights_of(second);
      for (std::size_t k = 0; k <= q; ++k) {
        for (std::size_t d = 0; d < 32; ++d)
          expected[(h * 30 + q) * 32 + d] += (plus[k] - lambda * minus[k]) * first.v[(h * 30 + k) * 32 + d];
      }
    }
  }
  EXPECT_TRUE(close(out, expected, near(1e-5)));
}

TEST(OneLine, SoftmaxOneIsASinkOfZero) {
  const Shape shape{.batch = 2, .q_heads = 2, .kv_heads = 2, .q_len = 20, .kv_len = 25, .head_dim = 16};
  Problem problem(shape);
  const float sinks[] = {0, 0};
  RunArgs args = problem.args();
  args.sinks = TensorView(sinks, DType::kF32, {2});
  compile_or_throw(engine_for("host"), spec_of("", shape)).run(args).value();
  std::vector<double> expected(problem.out.size());
  for (std::size_t row = 0; row < 80; ++row) {
    double sum = 1;
    for (std::size_t k = 0; k < 25; ++k) {
      const std::size_t key = (row / 20 * 25 + k) * 16;
      double score = 0;
      for (std::size_t d = 0; d < 16; ++d) score += problem.q[row * 16 + d] * problem.k[key + d];
      const double weight = std::exp(score / 4);
      sum += weight;
      for (std::size_t d = 0; d < 16; ++d) expected[row * 16 + d] += weight * problem.v[key + d];
    }
    for (std::size_t d = 0; d < 16; ++d) expected[row * 16 + d] /= sum;
  }
  EXPECT_TRUE(close(problem.out.values(), expected, near(1e-5)));
}

// B17: blocks of 2 keys. A query that chooses more blocks than it has past ones sees no later key, its own block counts once,
// and -1 is none.
TEST(OneLine, ChosenBlocksAreABufferOfNumbers) {
  const Shape shape{.batch = 1, .q_heads = 1, .kv_heads = 1, .q_len = 6, .kv_len = 6, .head_dim = 8};
  const AttentionSpec spec = spec_of(
      "buffer chosen : i32[q_len, 3]\n"
      "mask = kv_idx <= q_idx && any(n in 0..3 : chosen[q_idx, n] == kv_idx // 2)",
      shape);
  const std::vector<std::int32_t> chosen = {0, 1, 2, 0, 1, 2, -1, 1, -1, 1, -1, -1, 2, 0, 0, 2, 2, 1};
  Captures captures;
  captures.add("chosen", {6, 3}, chosen);
  const std::vector<std::vector<int>> seen = {{0}, {0, 1}, {2}, {2, 3}, {0, 1, 4}, {2, 3, 4, 5}};
  const Problem problem = ran(spec, Problem(shape), &captures.bindings());
  EXPECT_TRUE(is_attention(problem, {.mask = [&](const Position& p) {
                             const std::vector<int>& keys = seen[at(p.q_idx)];
                             return std::ranges::find(keys, p.kv_idx) != keys.end();
                           }}));
}

// B15: latent attention with 4 dims without and 2 with rotary, and latent keys of 8: with the key's matrix in the query, the
// scores are those of dims that are never made, under the same scale of 6 dims.
TEST(OneLine, LatentAttentionAbsorbsItsMatrices) {
  constexpr std::size_t kHeads = 3, kRows = 17, kNope = 4, kRope = 2, kRank = 8;
  const Shape expanded_shape{
      .batch = 1, .q_heads = 3, .kv_heads = 3, .q_len = 17, .kv_len = 17, .head_dim = 6, .v_head_dim = 4};
  const Shape absorbed_shape{
      .batch = 1, .q_heads = 3, .kv_heads = 1, .q_len = 17, .kv_len = 17, .head_dim = 10, .v_head_dim = 8};
  Random random(7);
  const std::vector<float> latent = random.normals(kRows * kRank), rope = random.normals(kRows * kRope),
                           up_k = random.normals(kHeads * kNope * kRank), up_v = random.normals(kHeads * kNope * kRank);
  Problem expanded(expanded_shape), absorbed(absorbed_shape);
  const auto up = [&](const std::vector<float>& matrix, std::size_t h, std::size_t d, const auto& of) {
    double sum = 0;
    for (std::size_t r = 0; r < kRank; ++r) sum += matrix[(h * kNope + d) * kRank + r] * of(r);
    return sum;
  };
  expanded.k.fill([&](std::size_t i) {
    const std::size_t d = i % 6, t = i / 6 % kRows, h = i / 6 / kRows;
    return d < kNope ? up(up_k, h, d, [&](std::size_t r) { return latent[t * kRank + r]; }) : rope[t * kRope + d - kNope];
  });
  expanded.v.fill([&](std::size_t i) {
    return up(up_v, i / kNope / kRows, i % kNope, [&](std::size_t r) { return latent[i / kNope % kRows * kRank + r]; });
  });
  absorbed.q.fill([&](std::size_t i) {
    const std::size_t d = i % 10, row = i / 10, h = row / kRows;
    if (d >= kRank) return expanded.q[row * 6 + kNope + d - kRank];
    double sum = 0;
    for (std::size_t n = 0; n < kNope; ++n) sum += expanded.q[row * 6 + n] * up_k[(h * kNope + n) * kRank + d];
    return sum;
  });
  absorbed.k.fill(
      [&](std::size_t i) { return i % 10 < kRank ? latent[i / 10 * kRank + i % 10] : rope[i / 10 * kRope + i % 10 - kRank]; });
  absorbed.v.fill([&](std::size_t i) { return latent[i]; });
  AttentionSpec spec = spec_of("mask = kv_idx <= q_idx", absorbed_shape);
  spec.scale = 1 / std::sqrt(6.0);
  absorbed = ran(spec, absorbed);
  expanded.out.fill([&](std::size_t i) {
    const std::size_t row = i / kNope;
    return up(up_v, row / kRows, i % kNope, [&](std::size_t r) { return absorbed.out[row * kRank + r]; });
  });
  expanded.lse = absorbed.lse;
  EXPECT_TRUE(
      is_attention(expanded, {.mask = [](const Position& p) { return p.kv_idx <= p.q_idx; }}, {near(1e-4), near(1e-4)}));
}

// B11: a window of exactly 4 keys under a causal mask: the first query behind a block of 4 sees 4, and none that comes later.
TEST(OneLine, WindowsOfCausalQueriesAreExact) {
  const Shape shape{.batch = 1, .q_heads = 1, .kv_heads = 1, .q_len = 16, .kv_len = 16, .head_dim = 8};
  AttentionSpec spec = spec_of("", shape);
  spec.causal = true;
  spec.window = Window{.left = 3, .right = 0};
  const Attention attention = compile_or_throw(engine_for("host"), spec);
  EXPECT_EQ(attention.count_allowed({.q_len = 16, .kv_len = 16}).value(), 1 + 2 + 3 + 13 * 4);
  EXPECT_TRUE(is_attention(ran(spec, Problem(shape)),
                           {.mask = [](const Position& p) { return p.kv_idx <= p.q_idx && p.q_idx - p.kv_idx < 4; }}));
}

// B16: of tables with 2 columns all 4 dims turn, and neighbours are halves after the permutation (0, 2, 1, 3).
TEST(OneLine, NeighboursAreHalvesPermuted) {
  const Shape shape{.batch = 1, .q_heads = 1, .kv_heads = 1, .q_len = 6, .kv_len = 6, .head_dim = 4, .v_head_dim = 8};
  const Problem source(shape);
  std::vector<std::vector<double>> results;
  for (const RotaryPairing pairing : {RotaryPairing::kInterleaved, RotaryPairing::kHalves}) {
    const RotaryTables tables(6, 4, pairing);
    const Rotary rotary = tables.arg();
    const auto permuted = [&](const Tensor& x, std::size_t row) {
      const std::size_t middle = pairing == RotaryPairing::kHalves ? 1 : 0;
      return std::vector<double>{x[row * 4], x[row * 4 + 1 + middle], x[row * 4 + 2 - middle], x[row * 4 + 3]};
    };
    Problem problem(shape);
    problem.q.fill([&](std::size_t i) { return permuted(source.q, i / 4)[i % 4]; });
    problem.k.fill(
        [&](std::size_t i) { return tables.rotated(permuted(source.k, i / 4), static_cast<std::int64_t>(i / 4))[i % 4]; });
    for (std::size_t d = 0; d < 4; ++d) EXPECT_NE(problem.k[5 * 4 + d], permuted(source.k, 5)[d]) << d;
    RunArgs args = problem.args();
    args.rotary = &rotary;
    compile_or_throw(engine_for("host"), spec_of("", shape)).run(args).value();
    results.push_back(problem.out.values());
  }
  EXPECT_TRUE(close(results[0], results[1], near(1e-5)));
}

// DeepSeek's sizes, in prefill and a step of decoding; and the largest that there are.
TEST(OneLine, LatentHeadsAreWide) {
  struct Case {
    std::int32_t heads, q_len, kv_len, head_dim, v_head_dim;
    DType dtype = DType::kF32;
  };
  const auto causal = [](const Position& p) { return p.kv_idx <= p.q_idx + 30; };
  Sample sample;
  for (const Case& one : {Case{16, 1, 70, 576, 512},
                          {4, 26, 40, 576, 512},
                          {16, 1, 70, 576, 512, DType::kBF16},
                          {2, 1, 40, 1024, 1024},
                          {1, 20, 40, 1024, 1000}}) {
    if (!sample.next()) continue;
    const Shape shape{.batch = 1,
                      .q_heads = one.heads,
                      .kv_heads = 1,
                      .q_len = one.q_len,
                      .kv_len = one.kv_len,
                      .head_dim = one.head_dim,
                      .v_head_dim = one.v_head_dim};
    const Types types{one.dtype, one.dtype, one.dtype};
    AttentionSpec spec = spec_of("mask = kv_idx <= q_idx + 30", shape);
    spec.dtype = one.dtype;
    const bool exact = one.dtype == DType::kF32;
    EXPECT_TRUE(is_attention(ran(spec, Problem(shape, types)), {.mask = causal},
                             {near(exact ? 1e-5 : 1e-2), near(exact ? 1e-5 : 1e-2)}));
  }
  BackwardProblem problem(
      {.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 5, .kv_len = 9, .head_dim = 576, .v_head_dim = 512});
  const Attention attention =
      compile_or_throw(engine_for("host"), spec_of("mask = kv_idx <= q_idx + 30", problem.forward.shape));
  attention.run(problem.args()).value();
  run_backward(attention, problem.args(), problem.gradients()).value();
  EXPECT_TRUE(has_gradients(problem, {{.mask = causal}}));
}

}  // namespace
}  // namespace flexjit::conformance
