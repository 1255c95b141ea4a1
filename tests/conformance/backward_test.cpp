// Gradients of attention without a score_mod, on the reference and on every target of this machine, against the definition in
// long double. Names of cases such as A14 are those of the pitfalls that others hit.
#include <limits>

#include "on_backward.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

constexpr Shape kShapes[] = {
    {.batch = 1, .q_heads = 1, .kv_heads = 1, .q_len = 16, .kv_len = 16, .head_dim = 16},
    {.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 37, .kv_len = 53, .head_dim = 24, .v_head_dim = 40},
    {.batch = 1, .q_heads = 6, .kv_heads = 1, .q_len = 70, .kv_len = 33, .head_dim = 40, .v_head_dim = 8},
    {.batch = 3, .q_heads = 3, .kv_heads = 3, .q_len = 1, .kv_len = 130, .head_dim = 8},
    {.batch = 1, .q_heads = 2, .kv_heads = 2, .q_len = 65, .kv_len = 1, .head_dim = 32, .v_head_dim = 3},
    {.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 129, .kv_len = 65, .head_dim = 64},
    {.batch = 1, .q_heads = 1, .kv_heads = 1, .q_len = 9, .kv_len = 300, .head_dim = 7, .v_head_dim = 1}};
constexpr Shape kSmall{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 19, .kv_len = 23, .head_dim = 16, .v_head_dim = 24};

class Backward : public OnBackward {};

TEST_P(Backward, EveryShapeAndGrouping) {
  covers("P16", "E09");
  for (const Shape& shape : kShapes) {
    BackwardProblem problem(shape);
    expect_gradients({}, problem, {});
  }
}

TEST_P(Backward, A23_HeadsThatShareKeys) {
  for (const auto& [q_heads, kv_heads] : {std::pair{12, 3}, {6, 2}, {8, 1}, {4, 4}}) {
    for (const auto& [head_dim, v_head_dim] : {std::pair{32, 96}, {96, 32}}) {
      BackwardProblem problem({.batch = 1,
                               .q_heads = q_heads,
                               .kv_heads = kv_heads,
                               .q_len = 11,
                               .kv_len = 13,
                               .head_dim = head_dim,
                               .v_head_dim = v_head_dim});
      expect_gradients({}, problem, {});
    }
  }
}

TEST_P(Backward, A20_CausalAndWindowsAreOfTheForwardPass) {
  for (const auto& [q_len, kv_len] : {std::pair{17, 64}, {64, 17}, {33, 33}}) {
    for (const Window window : {Window{-1, 0}, Window{5, 3}, Window{0, 0}, Window{-1, 8}}) {
      BackwardProblem problem({.q_heads = 2, .kv_heads = 1, .q_len = q_len, .kv_len = kv_len, .head_dim = 16});
      AttentionSpec spec;
      spec.window = window;
      const std::int32_t shift = kv_len - q_len;
      expect_gradients(spec, problem, {{.mask = [=](const Position& p) {
                         const std::int32_t distance = p.kv_idx - p.q_idx - shift;
                         return (window.left < 0 || distance >= -window.left) && distance <= window.right;
                       }}});
    }
  }
}

TEST_P(Backward, A39_LseAlone) {
  covers("D48");
  BackwardProblem problem(kSmall);
  const Attention attention = compile_or_throw(engine(), spec_for(problem));
  run_forward(attention, problem);
  Gradients gradients = problem.gradients();
  gradients.out.data = nullptr;
  run_backward(attention, problem.args(), gradients).value();
  EXPECT_TRUE(has_gradients(problem, {.has_out = false}));
}

TEST_P(Backward, OutAlone) {
  BackwardProblem problem(kSmall);
  const Attention attention = compile_or_throw(engine(), spec_for(problem));
  run_forward(attention, problem);
  Gradients gradients = problem.gradients();
  gradients.lse.data = nullptr;
  run_backward(attention, problem.args(), gradients).value();
  EXPECT_TRUE(has_gradients(problem, {.has_lse = false}));
}

// o4. Neither given, and both given as zeros.
TEST_P(Backward, A19_NothingGivenIsExactlyZero) {
  for (const Types types : {Types{}, Types{DType::kF16, DType::kF16, DType::kF16}}) {
    BackwardProblem problem(kSmall, types);
    problem.add_sinks({0, 1, 2, 3});
    problem.d_out.fill([](std::size_t) { return 0.0; });
    problem.d_lse.assign(problem.d_lse.size(), 0.0F);
    const Attention attention = compile_or_throw(engine(), spec_for(problem));
    run_both(attention, problem);
    EXPECT_TRUE(vanishes(problem));
    problem.poison_outputs();
    Gradients gradients = problem.gradients();
    gradients.out = gradients.lse = {};
    run_backward(attention, problem.args(), gradients).value();
    EXPECT_TRUE(vanishes(problem));
  }
}

TEST_P(Backward, A11_EachGradientAloneIsTheSame) {
  BackwardProblem all(kSmall);
  all.add_sinks({0, 1, 2, 3});
  const Attention attention = compile_or_throw(engine(), spec_for(all));
  run_both(attention, all);
  BackwardProblem one(kSmall);
  one.add_sinks({0, 1, 2, 3});
  run_forward(attention, one);
  for (const auto which : {&Gradients::q, &Gradients::k, &Gradients::v, &Gradients::sinks}) {
    Gradients wanted{.out = one.gradients().out, .lse = one.gradients().lse};
    wanted.*which = one.gradients().*which;
    run_backward(attention, one.args(), wanted).value();
  }
  EXPECT_TRUE(gradients_identical(one, all));
}

TEST_P(Backward, NothingWantedIsNothing) {
  BackwardProblem problem(kSmall);
  const Attention attention = compile_or_throw(engine(), spec_for(problem));
  run_forward(attention, problem);
  EXPECT_TRUE(run_backward(attention, problem.args(), {.out = problem.gradients().out}).has_value());
}

TEST_P(Backward, A25_AnyStridesOfTensorsAndGradients) {
  covers("D26");
  const auto padded = [](const Extents& e) { return Strides{e[1] * e[2] * (e[3] + 5) + 7, e[2] * (e[3] + 5), e[3] + 5, 1}; };
  for (const Shape shape : {kSmall, Shape{.q_heads = 16, .kv_heads = 16, .q_len = 16, .kv_len = 16, .head_dim = 16}}) {
    BackwardProblem reference(shape);
    run_both(compile_or_throw(engine(), spec_for(reference)), reference);
    for (const Layout& layout : {Layout(length_first), Layout(padded)}) {
      BackwardProblem problem(shape, {}, 1, layout);
      expect_gradients({}, problem, {});
      EXPECT_TRUE(gradients_identical(problem, reference));
    }
    // Of a dense forward pass, a strided gradient of out.
    BackwardProblem problem(shape);
    Tensor strided(DType::kF32, {shape.batch, shape.q_heads, shape.q_len, shape.value_dim()}, length_first);
    strided.fill([&](std::size_t i) { return problem.d_out[i]; });
    const Attention attention = compile_or_throw(engine(), spec_for(problem));
    run_forward(attention, problem);
    Gradients gradients = problem.gradients();
    gradients.out = std::as_const(strided).view();
    run_backward(attention, problem.args(), gradients).value();
    EXPECT_TRUE(gradients_identical(problem, reference));
  }
}

TEST_P(Backward, A25_OneNumberForAllOfOut) {
  BackwardProblem expanded(kSmall), dense_ones(kSmall);
  for (BackwardProblem* problem : {&expanded, &dense_ones}) problem->d_out.fill([](std::size_t) { return 0.75; });
  const Attention attention = compile_or_throw(engine(), spec_for(expanded));
  run_both(attention, dense_ones);
  run_forward(attention, expanded);
  Gradients gradients = expanded.gradients();
  gradients.out.strides = {0, 0, 0, 0};
  run_backward(attention, expanded.args(), gradients).value();
  EXPECT_TRUE(gradients_identical(expanded, dense_ones));
  EXPECT_TRUE(has_gradients(expanded, {}));
}

TEST_P(Backward, A18_OneKey) {
  BackwardProblem problem({.q_len = 1, .kv_len = 1, .head_dim = 16}, {DType::kF16, DType::kF16, DType::kF16});
  for (Tensor* tensor : {&problem.forward.q, &problem.forward.k}) tensor->fill([&](std::size_t i) { return (*tensor)[i] * 3; });
  problem.d_out.fill([](std::size_t) { return 1.0; });
  problem.d_lse = {0};
  run_both(compile_or_throw(engine(), spec_for(problem)), problem);
  for (std::size_t d = 0; d < 16; ++d) {
    EXPECT_EQ(problem.dq[d], 0);
    EXPECT_EQ(problem.dk[d], 0);
    EXPECT_EQ(problem.dv[d], 1);
  }
}

// One weight of 1 that nothing moves: dP and delta are the same sum, of whatever numbers and however many dims.
TEST_P(Backward, A18_RowsThatSeeOneKeyMoveNoScore) {
  AttentionSpec spec;
  spec.mask_mod = "kv_idx == (q_idx * 7) % kv_len";
  for (const Shape shape :
       {kSmall, Shape{.q_heads = 2, .kv_heads = 1, .q_len = 67, .kv_len = 150, .head_dim = 24, .v_head_dim = 37},
        Shape{.q_len = 3, .kv_len = 40, .head_dim = 16, .v_head_dim = 130}}) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF64}) {
      SCOPED_TRACE(testing::Message() << name_of(dtype) << " v_head_dim " << shape.value_dim());
      BackwardProblem problem(shape, {dtype, dtype, dtype});
      problem.d_lse.assign(problem.d_lse.size(), 0.0F);
      run_both(compile_or_throw(engine(), spec_for(problem, spec)), problem);
      for (const Tensor* gradient : {&problem.dq, &problem.dk}) {
        for (std::size_t i = 0; i < gradient->size(); ++i) ASSERT_EQ((*gradient)[i], 0) << i;
      }
    }
  }
}

// A pair that is masked is not looked at: NaN in its key and value is never seen.
TEST_P(Backward, A14_RowsAndKeysThatAreMasked) {
  covers("D48");
  AttentionSpec spec;
  spec.mask_mod = "q_idx % 3 != 1 && kv_idx % 4 != 2";
  const auto mask = [](const Position& p) { return p.q_idx % 3 != 1 && p.kv_idx % 4 != 2; };
  BackwardProblem problem(kSmall);
  for (Tensor* tensor : {&problem.forward.k, &problem.forward.v}) {
    const auto dim = static_cast<std::size_t>(tensor == &problem.forward.k ? kSmall.head_dim : kSmall.value_dim());
    for (std::size_t i = 0; i < tensor->size(); ++i) {
      if (i / dim % static_cast<std::size_t>(kSmall.kv_len) % 4 == 2) tensor->set(i, kNan);
    }
  }
  run_both(compile_or_throw(engine(), spec_for(problem, spec)), problem);
  EXPECT_TRUE(has_gradients(problem, {{.mask = mask}}));
}

TEST_P(Backward, A15_NothingIsAllowed) {
  AttentionSpec spec;
  spec.mask_mod = "q_idx < 0";
  BackwardProblem problem(kSmall);
  run_both(compile_or_throw(engine(), spec_for(problem, spec)), problem);
  EXPECT_TRUE(vanishes(problem));
}

TEST_P(Backward, A16_NoWork) {
  for (const Shape& shape : {Shape{.batch = 0, .q_len = 3, .kv_len = 5}, Shape{.q_len = 0, .kv_len = 5},
                             Shape{.q_len = 3, .kv_len = 0}, Shape{.q_len = 0, .kv_len = 0}}) {
    BackwardProblem problem(shape);
    run_both(compile_or_throw(engine(), spec_for(problem)), problem);
    EXPECT_TRUE(vanishes(problem));
  }
}

TEST_P(Backward, BlockMasks) {
  AttentionSpec spec;
  spec.mask_mod = "kv_idx <= q_idx";
  const Shape shape{.batch = 2, .q_heads = 2, .kv_heads = 1, .q_len = 100, .kv_len = 90, .head_dim = 16};
  BackwardProblem expected(shape), actual(shape);
  const Attention attention = compile_or_throw(engine(), spec_for(expected, spec));
  run_both(attention, expected);
  EXPECT_TRUE(has_gradients(expected, {{.mask = [](const Position& p) { return p.kv_idx <= p.q_idx; }}}));
  for (const auto& [q_block, kv_block] : {std::pair{192, 128}, {16, 24}, {64, 32}}) {
    const BlockMask mask =
        attention.create_block_mask({.q_len = 100, .kv_len = 90, .q_block = q_block, .kv_block = kv_block}).value();
    run_forward(attention, actual);
    RunArgs args = actual.args();
    args.block_mask = &mask;
    run_backward(attention, args, actual.gradients()).value();
    EXPECT_TRUE(agrees(actual, gradients_of(expected), {near(2e-6), near(2e-6)}));
  }
}

// The blocks say what is allowed, where the text allows all.
TEST_P(Backward, A12_BlocksThatAreLeftOut) {
  const Shape shape{.q_len = 64, .kv_len = 96, .head_dim = 16};
  const std::vector<BlockKind> kinds{BlockKind::kFull,  BlockKind::kEmpty, BlockKind::kFull,   // rows 0 to 31
                                     BlockKind::kEmpty, BlockKind::kEmpty, BlockKind::kFull};  // 32 to 63
  const BlockMask mask =
      BlockMask::from_kinds({.batch = 1, .heads = 1, .q_len = 64, .kv_len = 96, .q_block = 32, .kv_block = 32}, kinds).value();
  BackwardProblem problem(shape);
  const Attention attention = compile_or_throw(engine(), spec_for(problem));
  RunArgs args = problem.args();
  args.block_mask = &mask;
  attention.run(args).value();
  run_backward(attention, args, problem.gradients()).value();
  EXPECT_TRUE(has_gradients(problem, {{.mask = [&](const Position& p) {
                              return kinds[static_cast<std::size_t>(p.q_idx / 32 * 3 + p.kv_idx / 32)] == BlockKind::kFull;
                            }}}));
}

// From out and lse of all keys each part of the keys gets its share.
TEST_P(Backward, PartsOfTheKeys) {
  const Shape shape{.batch = 2, .q_heads = 2, .kv_heads = 1, .q_len = 21, .kv_len = 40, .head_dim = 16};
  BackwardProblem whole(shape), parts(shape);
  const Attention attention = compile_or_throw(engine(), spec_for(whole));
  run_both(attention, whole);
  run_forward(attention, parts);
  std::vector<double> dq(parts.dq.size());
  for (const std::int64_t begin : {0, 24}) {
    const std::int64_t count = begin == 0 ? 24 : 16;
    RunArgs args = parts.args();
    Gradients gradients = parts.gradients();
    const auto cut = [&](auto& view) {
      view.data = static_cast<char*>(const_cast<void*>(static_cast<const void*>(view.data))) + begin * view.strides[2] * 4;
      view.shape[2] = count;
    };
    cut(args.k), cut(args.v), cut(gradients.k), cut(gradients.v);
    run_backward(attention, args, gradients).value();
    for (std::size_t i = 0; i < dq.size(); ++i) dq[i] += parts.dq[i];
  }
  parts.dq.fill([&](std::size_t i) { return dq[i]; });
  EXPECT_TRUE(agrees(parts, gradients_of(whole), {near(2e-6), near(2e-6)}));
}

TEST_P(Backward, SigmoidWeights) {
  AttentionSpec spec;
  spec.weights = Weights::kSigmoid;
  spec.mask_mod = "kv_idx <= q_idx + 3";
  BackwardProblem problem(kSmall);
  const Attention attention = compile_or_throw(engine(), spec_for(problem, spec));
  RunArgs args = problem.args();
  args.lse = {};
  attention.run(args).value();
  Gradients gradients = problem.gradients();
  gradients.lse = {};
  run_backward(attention, args, gradients).value();
  EXPECT_TRUE(has_gradients(
      problem, {{.mask = [](const Position& p) { return p.kv_idx <= p.q_idx + 3; }, .weights = Weights::kSigmoid}}));
  EXPECT_TRUE(keeps_identities(problem));
}

TEST_P(Backward, AnyScale) {
  for (const double scale : {-0.3, 0.0, 1.5}) {
    AttentionSpec spec;
    spec.scale = scale;
    BackwardProblem problem(kSmall);
    expect_gradients(spec, problem, {{.scale = scale}}, nullptr, {near(2e-5), near(2e-5)});
  }
}

// The smallest example of others: no pattern, relative positions, a window, each with the gradient of a sum.
struct MinimalExample {
  AttentionSpec spec{};
  OraclePattern oracle{};
};
std::vector<MinimalExample> minimal_examples(std::int32_t window) {
  std::vector<MinimalExample> examples(3);
  examples[1].spec.score_mod = "score + (q_idx - kv_idx)";
  examples[1].oracle.score = [](Real score, const Position& p) { return score + (p.q_idx - p.kv_idx); };
  examples[2].spec.mask_mod = "q_idx >= kv_idx && q_idx - kv_idx <= " + std::to_string(window);
  examples[2].oracle.mask = [=](const Position& p) { return p.q_idx >= p.kv_idx && p.q_idx - p.kv_idx <= window; };
  return examples;
}

TEST_P(Backward, OfASum) {
  covers("X15");
  for (const MinimalExample& example : minimal_examples(48)) {
    BackwardProblem problem({.batch = 2, .q_heads = 4, .kv_heads = 4, .q_len = 64, .kv_len = 64, .head_dim = 128});
    problem.d_out.fill([](std::size_t) { return 1.0; });
    const Attention attention = compile_or_throw(engine(), spec_for(problem, example.spec));
    run_forward(attention, problem);
    problem.poison_outputs();
    Gradients gradients = problem.gradients();
    gradients.out.strides = {0, 0, 0, 0};
    gradients.lse = {};
    run_backward(attention, problem.args(), gradients).value();
    EXPECT_TRUE(has_gradients(problem, {.pattern = example.oracle, .has_lse = false}));
  }
}

// Of the example's length, which the oracle and the reference are too slow for.
TEST(BackwardOfASum, IsFiniteAtFullLength) {
  covers("X15");
  Engine engine;
  for (const MinimalExample& example : minimal_examples(1024)) {
    BackwardProblem problem({.batch = 1, .q_heads = 2, .kv_heads = 2, .q_len = 1024, .kv_len = 1024, .head_dim = 128});
    problem.d_out.fill([](std::size_t) { return 1.0; });
    AttentionSpec spec = example.spec;
    spec.head_dim = 128;
    const Attention attention = compile_or_throw(engine, spec);
    attention.run(problem.args()).value();
    Gradients gradients = problem.gradients();
    gradients.lse = {};
    run_backward(attention, problem.args(), gradients).value();
    EXPECT_TRUE(keeps_identities(problem));
  }
}

INSTANTIATE_TEST_SUITE_P(On, Backward, testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
