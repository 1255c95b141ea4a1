// Gradients through score_mod and of captured buffers, on the reference and on every target of this machine. The oracle knows a
// score as a C++ function alone, and moves what it reads to see what a derivative is.
#include <cmath>
#include <limits>

#include "on_backward.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

constexpr Shape kScoreShape{
    .batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 17, .kv_len = 21, .head_dim = 16, .v_head_dim = 24};
constexpr double kInfF64 = std::numeric_limits<double>::infinity();

// A captured buffer of random numbers, for the library and for the oracle.
struct Captured {
  Captured(std::string name_of_it, std::vector<std::int64_t> extents_of_it, double deviation = 0.5)
      : name(std::move(name_of_it)), extents(std::move(extents_of_it)) {
    std::int64_t count = 1;
    for (const std::int64_t extent : extents) count *= extent;
    floats = Random(static_cast<std::uint64_t>(count) + name.size()).normals(static_cast<std::size_t>(count));
    for (float& value : floats) value = static_cast<float>(deviation) * value;
    reals.assign(floats.begin(), floats.end());
  }
  Real at(std::int64_t i) const { return reals[static_cast<std::size_t>(i)]; }

  std::string name;
  std::vector<std::int64_t> extents;
  std::vector<float> floats;
  std::vector<Real> reals;
};

class BackwardScore : public OnBackward {
 protected:
  // The gradients of everything that `captured` holds, and those of the tensors.
  void expect_score(const std::string& program, const Shape& shape, OraclePattern oracle, std::vector<Captured*> captured,
                    Types types = {}) {
    BackwardProblem problem(shape, types);
    Captures captures;
    GradientPattern pattern{.pattern = std::move(oracle)};
    for (Captured* one : captured) {
      captures.add(one->name, one->extents, one->floats);
      problem.want_buffer(one->name, one->extents);
      pattern.buffers[one->name] = &one->reals;
    }
    AttentionSpec spec;
    spec.program = program;
    run_both(compile_or_throw(engine(), spec_for(problem, spec)), problem, &captures.bindings());
    if (types.q == DType::kF32) {
      EXPECT_TRUE(has_gradients(problem, pattern)) << program;
      EXPECT_TRUE(keeps_identities(problem)) << program;
    } else {
      EXPECT_TRUE(has_gradients_as_of(types.q, problem, pattern)) << program;
    }
  }
  void expect_score(const std::string& program, std::function<Real(Real, const Position&)> score,
                    std::vector<Captured*> captured = {}) {
    expect_score(program, kScoreShape, {.score = std::move(score)}, std::move(captured));
  }
};

TEST_P(BackwardScore, A1_ScaledAndShiftedByHead) {
  Captured t("t", {4});
  expect_score("buffer t : f32[num_heads]; score = score * 0.5 + t[h]; mask = kv_idx <= q_idx + 2", kScoreShape,
               {.score = [&](Real s, const Position& p) { return s * 0.5L + t.at(p.h); },
                .mask = [](const Position& p) { return p.kv_idx <= p.q_idx + 2; }},
               {&t});
}

TEST_P(BackwardScore, Alibi) {
  Captured slope("slope", {4});
  expect_score("buffer slope : f32[num_heads]; score = score - slope[h] * abs(q_idx - kv_idx)",
               [&](Real s, const Position& p) { return s - slope.at(p.h) * std::abs(p.q_idx - p.kv_idx); }, {&slope});
}

TEST_P(BackwardScore, A2_RelativeTable) {
  const Shape shape{.batch = 3, .q_heads = 5, .kv_heads = 5, .q_len = 20, .kv_len = 20, .head_dim = 8};
  Captured tab("tab", {3, 5, 40});
  expect_score("buffer tab : f32[batch_size, num_heads, ?]; score = score + tab[b, h, q_idx - kv_idx + kv_len]", shape,
               {.score = [&](Real s, const Position& p) { return s + tab.at((p.b * 5 + p.h) * 40 + p.q_idx - p.kv_idx + 20); }},
               {&tab});
}

TEST_P(BackwardScore, A37_Softcaps) {
  covers("P13");
  for (const double cap : {1.0, 20.0, 30.0}) {
    AttentionSpec spec;
    spec.softcap = cap;
    BackwardProblem problem(kScoreShape);
    problem.forward.q.fill([&](std::size_t i) { return problem.forward.q[i] * 8; });
    expect_gradients(spec, problem, {{.score = [&](Real s, const Position&) { return cap * std::tanh(s / cap); }}}, nullptr,
                     {near(3e-5), near(3e-5)});
  }
}

// Of relative positions inside the window alone: what is masked reads nothing and adds nothing.
TEST_P(BackwardScore, A27_MaskedPairsReadNothing) {
  const Shape shape{.q_len = 60, .kv_len = 60, .head_dim = 8};
  Captured rel("rel", {16});
  expect_score("buffer rel : f32[?]; score = score + rel[q_idx - kv_idx]; mask = kv_idx <= q_idx && q_idx - kv_idx < 16", shape,
               {.score = [&](Real s, const Position& p) { return s + rel.at(p.q_idx - p.kv_idx); },
                .mask = [](const Position& p) { return p.kv_idx <= p.q_idx && p.q_idx - p.kv_idx < 16; }},
               {&rel});
}

// o3
TEST_P(BackwardScore, A30_ANumberForAllScores) {
  for (const bool has_sinks : {false, true}) {
    BackwardProblem problem(kScoreShape);
    problem.want_buffer("t", {1});
    if (has_sinks) problem.add_sinks({0, 0.5F, 1, 2});
    Captures captures;
    captures.add("t", {1}, std::vector<float>{0.25F});
    AttentionSpec spec;
    spec.program = "buffer t : f32[1]; score = score + t[0]; mask = q_idx % 5 != 3";
    run_both(compile_or_throw(engine(), spec_for(problem, spec)), problem, &captures.bindings());
    EXPECT_TRUE(keeps_shift(problem, "t"));
  }
  Captured t("t", {1});
  expect_score("buffer t : f32[1]; score = score * t[0] + t[0]", [&](Real s, const Position&) { return s * t.at(0) + t.at(0); },
               {&t});
}

TEST_P(BackwardScore, A32_ScoresThatDependOnNothing) {
  Captured bias("bias", {17, 21});
  expect_score("buffer bias : f32[q_len, kv_len]; score = bias[q_idx, kv_idx]",
               [&](Real, const Position& p) { return bias.at(p.q_idx * 21 + p.kv_idx); }, {&bias});
  Captured unused("unused", {4});
  expect_score("buffer unused : f32[num_heads]; let x = unused[h]; score = score", [](Real s, const Position&) { return s; },
               {&unused});
}

// What a flag's tensor repeats is summed up, and so is what an expanded dimension of the caller's does.
TEST_P(BackwardScore, A33_BroadcastBiases) {
  const Shape shape{.batch = 3, .q_heads = 2, .kv_heads = 2, .q_len = 5, .kv_len = 6, .head_dim = 8};
  using List = std::vector<std::int64_t>;
  for (const List& extents : {List{5, 6}, List{3, 1, 5, 6}, List{1, 2, 5, 6}, List{1, 1, 1, 1}, List{2, 5, 6}}) {
    Captured bias("attention_mask", extents);
    const auto score = [&](Real s, const Position& p) {
      const std::int64_t at[] = {p.b, p.h, p.q_idx, p.kv_idx};
      std::int64_t place = 0;
      for (std::size_t d = 0; d < extents.size(); ++d) {
        const std::int64_t index = at[d + 4 - extents.size()];
        place = place * extents[d] + (extents[d] == 1 ? 0 : index);
      }
      return s + bias.at(place);
    };
    BackwardProblem problem(shape);
    problem.want_buffer(bias.name, extents);
    Captures captures;
    captures.add(bias.name, extents, bias.floats);
    AttentionSpec spec;
    spec.attention_mask = MaskTensor{};
    spec.attention_mask->rank = 4;
    expect_gradients(spec, problem, {{.score = score}, {{bias.name, &bias.reals}}}, &captures.bindings());
  }
}

TEST_P(BackwardScore, A46_BranchesThatAreNotTaken) {
  expect_score("score = where(score > 0, sqrt(score), score)",
               [](Real s, const Position&) { return s > 0 ? std::sqrt(s) : s; });
  BackwardProblem large(kScoreShape), plain(kScoreShape);
  for (BackwardProblem* problem : {&large, &plain}) {
    problem->forward.q.fill([](std::size_t) { return 25.0; });
    problem->forward.k.fill([](std::size_t i) { return i % 16 == 0 ? 4.0 : 0.0; });
  }
  AttentionSpec spec;
  spec.score_mod = "where(score <= 0, exp(score * 100), 1 + score)";
  run_both(compile_or_throw(engine(), spec_for(large, spec)), large);
  run_both(compile_or_throw(engine(), spec_for(plain)), plain);
  EXPECT_TRUE(agrees(large, gradients_of(plain), {near(1e-4), near(1e-4)}));
}

TEST_P(BackwardScore, MaskedByTheScore) {
  expect_score("score = where(kv_idx <= q_idx, score, -inf)",
               [](Real s, const Position& p) { return p.kv_idx <= p.q_idx ? s : -static_cast<Real>(kInfF64); });
}

TEST_P(BackwardScore, EveryKindOfFunction) {
  expect_score("score = 3 * sin(score) + cos(2 * score)",
               [](Real s, const Position&) { return 3 * std::sin(s) + std::cos(2 * s); });
  expect_score("score = score / (1 + score * score) - exp2(score / 4)",
               [](Real s, const Position&) { return s / (1 + s * s) - std::exp2(s / 4); });
  expect_score("score = log1p(exp(score)) + log(1.5 + sigmoid(score))",
               [](Real s, const Position&) { return std::log1p(std::exp(s)) + std::log(1.5L + 1 / (1 + std::exp(-s))); });
  expect_score("score = abs(score) + max(score, 0.3 * q_idx) - min(score * 2, 0.1 * kv_idx) + clamp(score, -1, 0.5)",
               [](Real s, const Position& p) {
                 return std::abs(s) + std::max(s, 0.3L * p.q_idx) - std::min(s * 2, 0.1L * p.kv_idx) +
                        std::min(std::max(s, -1.0L), 0.5L);
               });
  expect_score("score = pow(1.1 + abs(score), 1.5) + erf(score) + gelu(score) + silu(score)", [](Real s, const Position&) {
    const Real gelu = s / 2 * (1 + std::erf(s / std::sqrt(2.0L)));
    return std::pow(1.1L + std::abs(s), 1.5L) + std::erf(s) + gelu + s / (1 + std::exp(-s));
  });
  expect_score("score = rsqrt(2 + score * score) * floor(score) + relu(score) + log2(3 + tanh(score))",
               [](Real s, const Position&) {
                 return std::floor(s) / std::sqrt(2 + s * s) + std::max(s, 0.0L) + std::log2(3 + std::tanh(s));
               });
}

// Factors of low rank: both sides of a dot get gradients.
TEST_P(BackwardScore, Dots) {
  Captured left("left", {2, 17, 4}), right("right", {21, 4});
  expect_score(
      "buffer left : f32[batch_size, q_len, 4]; buffer right : f32[kv_len, 4]\n"
      "score = score + dot(left[b, q_idx, :], right[kv_idx, :])",
      [&](Real s, const Position& p) {
        for (std::int64_t d = 0; d < 4; ++d) s += left.at((p.b * 17 + p.q_idx) * 4 + d) * right.at(p.kv_idx * 4 + d);
        return s;
      },
      {&left, &right});
}

// Reads at places that another buffer names, and several reads of one buffer.
TEST_P(BackwardScore, ReadsOfReads) {
  Captured tab("tab", {7});
  std::vector<std::int32_t> bucket;
  for (std::int32_t i = 0; i < kScoreShape.kv_len; ++i) bucket.push_back(i * 5 % 7);
  BackwardProblem problem(kScoreShape);
  problem.want_buffer("tab", {7});
  Captures captures;
  captures.add("tab", {7}, tab.floats).add("bucket", {kScoreShape.kv_len}, bucket);
  AttentionSpec spec;
  spec.program =
      "buffer tab : f32[7]; buffer bucket : i32[kv_len]; score = score + tab[bucket[kv_idx]] * tab[q_idx % 7] + tab[3]";
  expect_gradients(spec, problem,
                   {{.score =
                         [&](Real s, const Position& p) {
                           return s + tab.at(bucket[static_cast<std::size_t>(p.kv_idx)]) * tab.at(p.q_idx % 7) + tab.at(3);
                         }},
                    {{"tab", &tab.reals}}},
                   &captures.bindings());
}

TEST_P(BackwardScore, OfSixteenBits) {
  Captured slope("slope", {4});
  for (const DType low : {DType::kBF16, DType::kF16}) {
    expect_score(
        "buffer slope : f32[num_heads]; score = 5 * tanh(score / 5) - slope[h] * abs(q_idx - kv_idx)", kScoreShape,
        {.score = [&](Real s,
                      const Position& p) { return 5 * std::tanh(s / 5) - slope.at(p.h) * std::abs(p.q_idx - p.kv_idx); }},
        {&slope}, {low, low, low});
  }
}

// ii: sums of 8192 rows in 16 bits would stop at 128.
TEST_P(BackwardScore, A49_SumsOverRowsAreRoundedOnce) {
  BackwardProblem problem({.q_len = 8192, .kv_len = 2, .head_dim = 1});
  problem.forward.q.fill([](std::size_t) { return 0.0; });
  problem.forward.v.fill([](std::size_t i) { return i == 0 ? 1.0 : -1.0; });
  problem.d_out.fill([](std::size_t) { return 1.0; });
  problem.d_lse.assign(8192, 0);
  problem.want_buffer("tab", {2}, DType::kBF16);
  Captures captures;
  captures.add_bytes("tab", DType::kBF16, {2}, std::vector<unsigned char>(4));
  AttentionSpec spec;
  spec.program = "buffer tab : bf16[kv_len]; score = score + tab[kv_idx]";
  run_both(compile_or_throw(engine(), spec_for(problem, spec)), problem, &captures.bindings());
  EXPECT_EQ(problem.d_buffers.at("tab").tensor.values(), (std::vector<double>{4096, -4096}));
}

// Buffers may have any strides, and so may their gradients.
TEST_P(BackwardScore, StridedBuffers) {
  Captured bias("bias", {17, 21});
  BackwardProblem problem(kScoreShape);
  std::vector<float> transposed(bias.floats.size()), gradient(bias.floats.size(), std::numeric_limits<float>::quiet_NaN());
  for (std::size_t q = 0; q < 17; ++q) {
    for (std::size_t kv = 0; kv < 21; ++kv) transposed[kv * 17 + q] = bias.floats[q * 21 + kv];
  }
  Bindings bindings;
  bindings.buffers["bias"] = TensorView(transposed.data(), DType::kF32, {17, 21});
  bindings.buffers["bias"].strides = {1, 17};
  AttentionSpec spec;
  spec.program = "buffer bias : f32[q_len, kv_len]; score = score + bias[q_idx, kv_idx]";
  const Attention attention = compile_or_throw(engine(), spec_for(problem, spec));
  run_forward(attention, problem, &bindings);
  Gradients gradients = problem.gradients();
  gradients.buffers["bias"] = MutableTensorView(gradient.data(), DType::kF32, {17, 21});
  gradients.buffers["bias"].strides = {1, 17};
  run_backward(attention, problem.args(&bindings), gradients).value();
  const GradientPattern pattern{{.score = [&](Real s, const Position& p) { return s + bias.at(p.q_idx * 21 + p.kv_idx); }},
                                {{"bias", &bias.reals}}};
  const std::vector<double> expected = oracle_gradients(problem, pattern).buffers.at("bias");
  for (std::size_t q = 0; q < 17; ++q) {
    for (std::size_t kv = 0; kv < 21; ++kv) {
      EXPECT_NEAR(static_cast<double>(gradient[kv * 17 + q]), expected[q * 21 + kv], 2e-5);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(On, BackwardScore, testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
