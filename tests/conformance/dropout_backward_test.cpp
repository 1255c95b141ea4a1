// Gradients beside dropout, on the reference and on every target of this machine, against the definition in long double with
// the mask written out. Names of cases such as A40 are those of the pitfalls that others hit.
#include <atomic>
#include <cmath>
#include <thread>

#include "on_backward.h"
#include "support/checklist.h"
#include "support/dropout.h"

namespace flexjit::conformance {
namespace {

constexpr Shape kShapes[] = {
    {.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 37, .kv_len = 53, .head_dim = 24, .v_head_dim = 40},
    {.batch = 1, .q_heads = 6, .kv_heads = 1, .q_len = 70, .kv_len = 33, .head_dim = 40, .v_head_dim = 8},
    {.batch = 1, .q_heads = 2, .kv_heads = 2, .q_len = 3, .kv_len = 300, .head_dim = 16}};

class DropoutBackward : public OnBackward {
 protected:
  // The pattern with what is dropped.
  void expect(AttentionSpec spec, BackwardProblem& problem, GradientPattern pattern, const DropoutOracle& dropout) const {
    spec.dropout = Dropout{dropout.p, dropout.generator};
    pattern.pattern.factor = dropout;
    Bindings bindings;
    bindings.params["dropout_seed"] = dropout.seed;
    bindings.params["dropout_offset"] = dropout.offset;
    expect_gradients(spec, problem, pattern, &bindings);
  }
};

// A42: weights are divided by 1 - p, once, forward and backward; p = 1 gives 0.
TEST_P(DropoutBackward, P14_A42_EveryProbability) {
  covers("P14");
  for (const Shape& shape : kShapes) {
    for (const DropoutGenerator generator : kGenerators) {
      for (const double p : {0.0, 0.1, 0.5, 0.9, 1.0}) {
        SCOPED_TRACE(p);
        BackwardProblem problem(shape);
        if (p == 1) problem.d_lse.assign(problem.d_lse.size(), 0.0F);
        expect({}, problem, {}, {.p = p, .generator = generator, .seed = 11, .offset = 3});
        if (p == 1) {
          EXPECT_TRUE(vanishes(problem));
        }
      }
    }
  }
}

TEST_P(DropoutBackward, P0IsNoDropoutBitForBit) {
  for (const DropoutGenerator generator : kGenerators) {
    BackwardProblem with(kShapes[0]), without(kShapes[0]);
    AttentionSpec spec;
    run_both(compile_or_throw(engine(), spec_for(without, spec)), without);
    spec.dropout = Dropout{0, generator};
    run_both(compile_or_throw(engine(), spec_for(with, spec)), with);
    EXPECT_TRUE(gradients_identical(with, without));
  }
}

TEST_P(DropoutBackward, OfModsWindowsAndSigmoids) {
  for (const DropoutGenerator generator : kGenerators) {
    const DropoutOracle dropout{.p = 0.3, .generator = generator};
    const auto close_by = [](const Position& p) {
      return p.kv_idx - p.q_idx >= 4 && p.kv_idx - p.q_idx <= 21;
    };  // kv_len - q_len is 16
    AttentionSpec spec;
    spec.window = Window{12, 5};
    BackwardProblem windowed(kShapes[0]);
    expect(spec, windowed, {{.mask = close_by}}, dropout);
    BackwardProblem capped(kShapes[0]);
    AttentionSpec softcap;
    softcap.softcap = 2;
    expect(softcap, capped, {{.score = [](Real s, const Position&) { return 2 * std::tanh(s / 2); }}}, dropout);
  }
}

TEST_P(DropoutBackward, OfSigmoidWeights) {
  for (const DropoutGenerator generator : kGenerators) {
    const DropoutOracle dropout{.p = 0.3, .generator = generator};
    BackwardProblem problem(kShapes[0]);
    AttentionSpec spec = spec_for(problem);
    spec.weights = Weights::kSigmoid;
    spec.dropout = Dropout{dropout.p, generator};
    const Attention attention = compile_or_throw(engine(), spec);
    RunArgs args = problem.args();
    args.lse = {};
    attention.run(args).value();
    problem.poison_outputs();
    Gradients gradients = problem.gradients();
    gradients.lse = {};
    run_backward(attention, args, gradients).value();
    EXPECT_TRUE(has_gradients(problem, {.pattern = {.factor = dropout, .weights = Weights::kSigmoid}, .has_lse = false}));
  }
}

TEST_P(DropoutBackward, OfSinks) {
  BackwardProblem problem(kShapes[0]);
  problem.add_sinks({0.5F, -1, 2, 0});
  expect({}, problem, {{.sinks = {0.5, -1, 2, 0}}}, {.p = 0.4});
}

TEST_P(DropoutBackward, OfSixteenBits) {
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    const DropoutOracle dropout{.p = 0.2};
    BackwardProblem problem(kShapes[0], {dtype, dtype, dtype});
    AttentionSpec spec = spec_for(problem);
    spec.dropout = Dropout{.p = 0.2};
    run_both(compile_or_throw(engine(), spec), problem);
    EXPECT_TRUE(has_gradients_as_of(dtype, problem, {.pattern = {.factor = dropout}}));
  }
}

// One key of value 1: the output shows the factor, and the gradient of the value is the sum of dO by it.
TEST_P(DropoutBackward, A40_TheMaskIsThatOfTheForwardPass) {
  const int steps = GetParam() == "reference" ? 20 : 200;
  std::atomic<bool> done = false;
  std::thread busy([&] {
    while (!done) std::this_thread::yield();
  });
  BackwardProblem problem({.batch = 2, .q_heads = 2, .kv_heads = 2, .q_len = 40, .kv_len = 1, .head_dim = 4, .v_head_dim = 1});
  problem.forward.v.fill([](std::size_t) { return 1.0; });
  AttentionSpec spec = spec_for(problem);
  spec.dropout = Dropout{.p = 0.5};
  const Attention attention = compile_or_throw(engine(), spec);
  for (int step = 0; step < steps; ++step) {
    Bindings bindings;
    bindings.params["dropout_offset"] = step;
    run_both(attention, problem, &bindings);
    for (std::size_t plane = 0; plane < 4; ++plane) {
      double sum = 0;
      for (std::size_t row = plane * 40; row < (plane + 1) * 40; ++row) {
        ASSERT_TRUE(problem.forward.out[row] == 0 || problem.forward.out[row] == 2);
        sum += problem.forward.out[row] * problem.d_out[row];
      }
      ASSERT_NEAR(problem.dv[plane], sum, 1e-4);
    }
    ASSERT_TRUE(keeps_identities(problem));
  }
  done = true;
  busy.join();
}

// A41: what is computed anew is the same, whatever was computed in between.
TEST_P(DropoutBackward, A41_ComputedAnewItIsTheSame) {
  BackwardProblem first(kShapes[0]), again(kShapes[0]), other(kShapes[0]);
  AttentionSpec spec = spec_for(first);
  spec.dropout = Dropout{.p = 0.5};
  const Attention attention = compile_or_throw(engine(), spec);
  Bindings a, b;
  a.params["dropout_seed"] = 1;
  b.params["dropout_seed"] = 2;
  run_both(attention, first, &a);
  run_both(attention, other, &b);
  run_both(attention, again, &a);
  EXPECT_TRUE(outputs_identical(again.forward, first.forward));
  EXPECT_TRUE(gradients_identical(again, first));
  EXPECT_FALSE(gradients_identical(other, first));
}

INSTANTIATE_TEST_SUITE_P(All, DropoutBackward, testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
