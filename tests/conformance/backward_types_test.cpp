// Gradients of every element type, of sinks, and bits that depend on nothing but the call; on the reference and on every target
// of this machine.
#include <array>
#include <limits>
#include <map>
#include <memory>

#include "on_backward.h"
#include "support/captures.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr Shape kTypesShape{
    .batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 19, .kv_len = 23, .head_dim = 16, .v_head_dim = 24};

class BackwardTypes : public OnBackward {};
class BackwardSinks : public OnBackward {};

TEST_P(BackwardTypes, SixteenBits) {
  AttentionSpec spec;
  spec.causal = true;
  const GradientPattern causal{
      {.mask = [](const Position& p) { return p.kv_idx <= p.q_idx + kTypesShape.kv_len - kTypesShape.q_len; }}};
  for (const DType low : {DType::kBF16, DType::kF16}) {
    for (const DType out : {low, DType::kF32}) {
      BackwardProblem problem(kTypesShape, {low, low, out});
      run_both(compile_or_throw(engine(), spec_for(problem, spec)), problem);
      EXPECT_TRUE(has_gradients_as_of(low, problem, causal));
      EXPECT_TRUE(keeps_identities(problem, low == DType::kBF16 ? 8e-3 : 1e-3));
    }
    BackwardProblem mixed(kTypesShape, {DType::kF32, low, DType::kF32});
    run_both(compile_or_throw(engine(), spec_for(mixed, spec)), mixed);
    EXPECT_TRUE(has_gradients_as_of(low, mixed, causal));
  }
}

TEST_P(BackwardTypes, Fp64) {
  BackwardProblem problem(kTypesShape, {DType::kF64, DType::kF64, DType::kF64});
  // P has the precision of lse.
  expect_gradients({}, problem, {}, nullptr, {near(2e-6), near(2e-6)});

  std::vector<double> lse(problem.forward.lse.size());
  RunArgs args = problem.args();
  args.lse = {lse.data(), DType::kF64, {kTypesShape.batch, kTypesShape.q_heads, kTypesShape.q_len}};
  const Attention attention = compile_or_throw(engine(), spec_for(problem));
  problem.poison_outputs();
  attention.run(args).value();
  run_backward(attention, args, problem.gradients()).value();
  EXPECT_TRUE(has_gradients(problem, {}, {near(1e-12), near(1e-12)}));
}

// What is fp32 was not rounded to 16 bits before.
TEST_P(BackwardTypes, GradientsOfFp32ForTensorsOf16Bits) {
  const Types types{DType::kBF16, DType::kBF16, DType::kBF16};
  BackwardProblem narrow(kTypesShape, types), wide(kTypesShape, types);
  wide.dq = Tensor(DType::kF32, {kTypesShape.batch, kTypesShape.q_heads, kTypesShape.q_len, kTypesShape.head_dim});
  wide.dk = Tensor(DType::kF32, {kTypesShape.batch, kTypesShape.kv_heads, kTypesShape.kv_len, kTypesShape.head_dim});
  wide.dv = Tensor(DType::kF32, {kTypesShape.batch, kTypesShape.kv_heads, kTypesShape.kv_len, kTypesShape.value_dim()});
  const Attention attention = compile_or_throw(engine(), spec_for(wide));
  run_both(attention, wide);
  run_both(attention, narrow);
  for (const auto tensor : {&BackwardProblem::dq, &BackwardProblem::dk, &BackwardProblem::dv}) {
    Tensor rounded(DType::kBF16, {1, 1, 1, static_cast<std::int64_t>((wide.*tensor).size())});
    rounded.fill([&](std::size_t i) { return (wide.*tensor)[i]; });
    EXPECT_EQ(rounded.values(), (narrow.*tensor).values());
  }
}

// Low-precision running sums stop at 256.
TEST_P(BackwardTypes, A49_SumsOverHeadsAreRoundedOnce) {
  BackwardProblem problem({.q_heads = 512, .kv_heads = 1, .q_len = 1, .kv_len = 1, .head_dim = 8},
                          {DType::kBF16, DType::kBF16, DType::kBF16});
  problem.d_out.fill([](std::size_t) { return 1.0; });
  run_both(compile_or_throw(engine(), spec_for(problem)), problem);
  for (std::size_t d = 0; d < 8; ++d) EXPECT_EQ(problem.dv[d], 512);
}

TEST_P(BackwardTypes, A48_OneTensorForAllThree) {
  const Shape shape{.q_heads = 2, .kv_heads = 2, .q_len = 40, .kv_len = 40, .head_dim = 32};
  for (const DType low : {DType::kF32, DType::kBF16, DType::kF16}) {
    BackwardProblem problem(shape, {low, low, low});
    for (Tensor* tensor : {&problem.forward.k, &problem.forward.v}) tensor->bytes = problem.forward.q.bytes;
    const Attention attention = compile_or_throw(engine(), spec_for(problem));
    run_both(attention, problem);
    BackwardProblem shared(shape, {low, low, low});
    RunArgs args = shared.args();
    args.k = args.v = args.q;
    attention.run(args).value();
    run_backward(attention, args, shared.gradients()).value();
    EXPECT_TRUE(gradients_identical(shared, problem));
    EXPECT_TRUE(low == DType::kF32 ? has_gradients(problem, {}) : has_gradients_as_of(low, problem, {}));
  }
}

// Every way of summing up a captured buffer: one element a head, one for many keys, diagonals, an element of its own for each
// pair.
TEST_P(BackwardTypes, A35_FiftyRunsAreOne) {
  covers("P17", "D23", "D24", "D51");
  const Shape shape{.q_heads = 2, .kv_heads = 1, .q_len = 99, .kv_len = 333, .head_dim = 16};
  Captures captures;
  captures.add("slope", {2}, std::vector<float>{0.1F, 0.2F}).add("tab", {7}, std::vector<float>(7, 0.3F));
  captures.add("rel", {1024}, std::vector<float>(1024, 0.1F)).add("bias", {99, 333}, std::vector<float>(99 * 333, 0.2F));
  AttentionSpec spec;
  spec.score_mod = "score + slope[h] * kv_idx + tab[kv_idx % 7] + rel[q_idx - kv_idx + 512] + bias[q_idx, kv_idx]";
  const auto compiled = [&](int threads) {
    EngineOptions options;
    options.threads = threads;
    options.backend = GetParam() == "reference" ? Backend::kReference : Backend::kCompiled;
    if (GetParam() != "reference") options.target = GetParam();
    return compile_or_throw(*std::make_unique<Engine>(options),
                            spec_for(BackwardProblem(shape), spec).declare(captures.bindings()));
  };
  const auto run = [&](const Attention& attention, BackwardProblem& problem) {
    for (const auto& [name, extents] :
         std::map<std::string, std::vector<std::int64_t>>{{"slope", {2}}, {"tab", {7}}, {"rel", {1024}}, {"bias", {99, 333}}}) {
      problem.want_buffer(name, extents);
    }
    run_both(attention, problem, &captures.bindings());
  };
  BackwardProblem expected(shape);
  run(compiled(1), expected);
  for (const int threads : {1, 2, 3, 7, 16}) {
    const Attention attention = compiled(threads);
    for (int i = 0; i < (GetParam() == "reference" ? 1 : 10); ++i) {
      BackwardProblem actual(shape);
      run(attention, actual);
      ASSERT_TRUE(gradients_identical(actual, expected)) << threads << " threads, run " << i;
      ASSERT_TRUE(outputs_identical(actual.forward, expected.forward)) << threads << " threads, run " << i;
    }
  }
}

// o6
TEST_P(BackwardTypes, A35_BitsDependOnTheCallAlone) {
  const Shape shape{.batch = 3, .q_heads = 4, .kv_heads = 2, .q_len = 130, .kv_len = 200, .head_dim = 32};
  AttentionSpec spec;
  spec.causal = true;
  BackwardProblem expected(shape);
  run_both(compile_or_throw(engine(), spec_for(expected, spec)), expected);
  for (const int threads : {1, 2, 3, 16}) {
    EngineOptions options;
    options.threads = threads;
    options.backend = GetParam() == "reference" ? Backend::kReference : Backend::kCompiled;
    if (GetParam() != "reference") options.target = GetParam();
    Engine other(options);
    BackwardProblem actual(shape);
    run_both(compile_or_throw(other, spec_for(actual, spec)), actual);
    EXPECT_TRUE(gradients_identical(actual, expected)) << threads << " threads";
  }
  // The last entry of the batch alone.
  BackwardProblem alone(shape);
  const Attention attention = compile_or_throw(engine(), spec_for(alone, spec));
  run_forward(attention, alone);
  RunArgs args = alone.args();
  Gradients gradients = alone.gradients();
  const auto cut = [](auto& view) {
    const auto bytes = 2 * view.strides[0] * static_cast<std::int64_t>(size_of(view.dtype));
    view.data = static_cast<char*>(const_cast<void*>(static_cast<const void*>(view.data))) + bytes;
    view.shape[0] = 1;
  };
  cut(args.q), cut(args.k), cut(args.v), cut(args.out), cut(args.lse);
  cut(gradients.q), cut(gradients.k), cut(gradients.v), cut(gradients.out), cut(gradients.lse);
  run_backward(attention, args, gradients).value();
  for (const auto tensor : {&BackwardProblem::dq, &BackwardProblem::dk, &BackwardProblem::dv}) {
    const std::vector<double> one = (alone.*tensor).values(), all = (expected.*tensor).values();
    EXPECT_TRUE(std::equal(one.begin() + static_cast<std::ptrdiff_t>(one.size() / 3 * 2), one.end(),
                           all.begin() + static_cast<std::ptrdiff_t>(all.size() / 3 * 2)));
  }
}

// One query, one key: q = k = 1, v = 2, scale 1, a sink of 0 and dO = 1.
BackwardProblem one_pair(float d_lse) {
  BackwardProblem problem({.q_len = 1, .kv_len = 1, .head_dim = 1});
  problem.add_sinks({0});
  problem.forward.q.set(0, 1);
  problem.forward.k.set(0, 1);
  problem.forward.v.set(0, 2);
  problem.d_out.set(0, 1);
  problem.d_lse = {d_lse};
  return problem;
}

TEST_P(BackwardSinks, A4_ClosedForm) {
  covers("D45");
  BackwardProblem problem = one_pair(0);
  run_both(compile_or_throw(engine(), spec_for(problem)), problem);
  EXPECT_NEAR(problem.forward.out[0], 1.46212, 1e-5);
  EXPECT_NEAR(problem.dq[0], 0.393224, 1e-6);
  EXPECT_NEAR(problem.dk[0], 0.393224, 1e-6);
  EXPECT_NEAR(problem.dv[0], 0.731059, 1e-6);
  EXPECT_NEAR(static_cast<double>(problem.d_sinks[0]), -0.393224, 1e-6);
}

TEST_P(BackwardSinks, A8_ClosedFormWithLse) {
  BackwardProblem problem = one_pair(1);
  run_both(compile_or_throw(engine(), spec_for(problem)), problem);
  EXPECT_NEAR(problem.dq[0], 1.124282, 1e-6);
  EXPECT_NEAR(static_cast<double>(problem.d_sinks[0]), -0.124282, 1e-6);
}

TEST_P(BackwardSinks, A5_EveryShape) {
  covers("D45");
  for (const auto& [head_dim, v_head_dim] : {std::pair{48, 32}, {32, 48}}) {
    for (const std::int32_t kv_len : {1, 2, 3, 40}) {
      BackwardProblem problem({.batch = 2,
                               .q_heads = 4,
                               .kv_heads = 2,
                               .q_len = 17,
                               .kv_len = kv_len,
                               .head_dim = head_dim,
                               .v_head_dim = v_head_dim});
      problem.add_sinks({0.5F, 2.0F, -1.0F, -kInf});
      expect_gradients({}, problem, {{.sinks = {0.5, 2.0, -1.0, -static_cast<double>(kInf)}}});
    }
  }
}

// A sink far above every score, and rows that have nothing but it.
TEST_P(BackwardSinks, A7_LargeSinksAndEmptyRows) {
  AttentionSpec spec;
  spec.mask_mod = "q_idx % 2 == 0";
  BackwardProblem problem({.q_heads = 2, .kv_heads = 2, .q_len = 8, .kv_len = 12, .head_dim = 16});
  problem.add_sinks({100, 0.5F});
  expect_gradients(spec, problem, {{.mask = [](const Position& p) { return p.q_idx % 2 == 0; }, .sinks = {100, 0.5}}});
}

TEST_P(BackwardSinks, WithoutKeys) {
  BackwardProblem problem({.q_heads = 2, .kv_heads = 1, .q_len = 3, .kv_len = 0, .head_dim = 16});
  problem.add_sinks({1, 2});
  run_both(compile_or_throw(engine(), spec_for(problem)), problem);
  for (std::size_t h = 0; h < 2; ++h) {
    const float* of_head = &problem.d_lse[h * 3];
    EXPECT_NEAR(static_cast<double>(problem.d_sinks[h]), static_cast<double>(of_head[0] + of_head[1] + of_head[2]), 1e-5);
  }
}

TEST_P(BackwardSinks, OfSixteenBits) {
  covers("D45");
  for (const DType type : {DType::kBF16, DType::kF16}) {
    BackwardProblem problem(kTypesShape);
    problem.add_sinks({0.5F, 2.0F, -1.0F, 0.25F});
    Tensor sinks(type, {1, 1, 1, 4}), d_sinks(type, {1, 1, 1, 4});
    sinks.fill([&](std::size_t h) { return static_cast<double>(problem.sinks[h]); });
    RunArgs args = problem.args();
    args.sinks = TensorView(sinks.bytes.data(), type, {4});
    Gradients gradients = problem.gradients();
    gradients.sinks = MutableTensorView(d_sinks.bytes.data(), type, {4});
    const Attention attention = compile_or_throw(engine(), spec_for(problem));
    attention.run(args).value();
    run_backward(attention, args, gradients).value();
    const GradientValues expected = oracle_gradients(problem, {{.sinks = {0.5, 2.0, -1.0, 0.25}}});
    EXPECT_TRUE(close(d_sinks.values(), expected.sinks, {1e-4, type == DType::kBF16 ? 4e-3 : 5e-4}));
  }
}

INSTANTIATE_TEST_SUITE_P(On, BackwardTypes, testing::ValuesIn(backends_here()), name_of_backend);
INSTANTIATE_TEST_SUITE_P(On, BackwardSinks, testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
