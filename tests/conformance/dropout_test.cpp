// Dropout of weights in the forward pass, on the reference and on every target of this machine: which weights a seed drops, and
// what is left of the output.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "on_backends.h"
#include "support/checklist.h"
#include "support/dropout.h"

namespace flexjit::conformance {
namespace {

constexpr double kProbabilities[] = {0, 0.1, 0.5, 0.9, 1};

AttentionSpec with_dropout(AttentionSpec spec, const Dropout& dropout) {
  spec.dropout = dropout;
  return spec;
}

// The factors of all weights, as the output shows them: every score is 0, and the values are the rows of an identity.
struct ShownFactors {
  explicit ShownFactors(const Shape& of, const Layout& layout = dense) : problem(square(of), {}, 1, layout) {
    problem.q.fill([](std::size_t) { return 0.0; });
    const std::size_t keys = at(of.kv_len);
    problem.v.fill([=](std::size_t i) { return i % keys == i / keys % keys ? 1.0 : 0.0; });
  }
  static Shape square(Shape shape) {
    shape.v_head_dim = shape.kv_len;
    return shape;
  }
  void run(const Attention& attention, const Bindings* bindings = nullptr) {
    problem.poison_outputs();
    attention.run(problem.args(bindings)).value();
  }
  double factor(const Position& p) const {
    const Shape& s = problem.shape;
    const std::int64_t row = (std::int64_t{p.b} * s.q_heads + p.h) * s.q_len + p.q_idx;
    return problem.out[at(row * s.kv_len + p.kv_idx)] * s.kv_len;
  }
  bool drops(const Position& p) const { return factor(p) == 0; }
  std::vector<Position> positions() const {
    std::vector<Position> all;
    const Shape& s = problem.shape;
    for (Position p{}; p.b < s.batch; ++p.b)
      for (p.h = 0; p.h < s.q_heads; ++p.h)
        for (p.q_idx = 0; p.q_idx < s.q_len; ++p.q_idx)
          for (p.kv_idx = 0; p.kv_idx < s.kv_len; ++p.kv_idx) all.push_back(p);
    return all;
  }
  std::int64_t dropped() const {
    return std::ranges::count_if(positions(), [&](const Position& p) { return drops(p); });
  }
  // How many positions differ.
  std::int64_t differences(const DropoutOracle& oracle) const {
    return std::ranges::count_if(positions(), [&](const Position& p) { return drops(p) != oracle.drops(p); });
  }

  Problem problem;
};

TEST(Philox, P14_KnownAnswers) {
  EXPECT_EQ(philox_block({0, 0, 0, 0}, 0, 0, 10), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox_block({0, 0, 0, 0}, 0, 0, 7), (PhiloxBlock{0x5f6fb709, 0x0d893f64, 0x4f121f81, 0x4f730a48}));
  const auto word = [](PhiloxBlock counter) { return philox_block(counter, 0x1BF58, 0x1D4B49, 7)[0]; };
  EXPECT_EQ(word({0, 0, 0, 0}), 0x8d6d5130U);
  EXPECT_EQ(word({1, 0, 0, 0}), 0x1eb43defU);
  EXPECT_EQ(word({0, 1, 0, 0}), 0xd81fb6abU);
  EXPECT_EQ(word({5, 3, 1, 2}), 0xfd8f61e9U);
  EXPECT_EQ(word({255, 255, 3, 7}), 0xe62dab7eU);
}

class DropoutOn : public OnBackends {
 protected:
  static Attention compile(const AttentionSpec& spec) { return compile_or_throw(engine(), spec); }
  static Attention compile(const Shape& shape, const Dropout& dropout) {
    return compile(with_dropout(spec_of("", shape), dropout));
  }
};

// Of the known answers, the float itself as p keeps and the next float drops, exactly.
TEST_P(DropoutOn, P14_KnownAnswersDecide) {
  covers("C11");
  ShownFactors shown({.batch = 4, .q_heads = 8, .kv_heads = 8, .q_len = 256, .kv_len = 256, .head_dim = 8});
  const Attention attention = compile(shown.problem.shape, {.p = 0.5});
  const std::pair<Position, std::uint32_t> kKnown[] = {{{0, 0, 0, 0}, 0x8d6d5130},
                                                       {{0, 0, 1, 0}, 0x1eb43def},
                                                       {{0, 0, 0, 1}, 0xd81fb6ab},
                                                       {{1, 2, 5, 3}, 0xfd8f61e9},
                                                       {{3, 7, 255, 255}, 0xe62dab7e}};
  for (const auto& [p, word] : kKnown) {
    if (GetParam() == "reference" && p.b == 3) continue;  // seconds a call
    const float u = static_cast<float>(word) * 0x1p-32F;
    for (const bool drops : {false, true}) {
      Bindings bindings;
      bindings.params["dropout_p"] = double{drops ? std::nextafter(u, 2.0F) : u};
      const Shape few{
          .batch = p.b + 1, .q_heads = p.h + 1, .kv_heads = p.h + 1, .q_len = p.q_idx + 1, .kv_len = 256, .head_dim = 8};
      ShownFactors some(few);
      some.run(attention, &bindings);
      EXPECT_EQ(some.drops(p), drops) << p.q_idx << " " << p.kv_idx;
    }
  }
}

TEST_P(DropoutOn, P14_SameMaskAsTheDefinitionWhateverTheSizes) {
  for (const DropoutGenerator generator : kGenerators) {
    for (const Shape shape : {Shape{.q_len = 64, .kv_len = 64, .head_dim = 8},
                              Shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 1, .kv_len = 301, .head_dim = 24},
                              Shape{.batch = 1, .q_heads = 6, .kv_heads = 3, .q_len = 5, .kv_len = 130, .head_dim = 64},
                              Shape{.batch = 2, .q_heads = 2, .kv_heads = 1, .q_len = 75, .kv_len = 67, .head_dim = 16}}) {
      for (const Layout& layout : {Layout(dense), Layout(length_first)}) {
        ShownFactors shown(shape, layout);
        shown.run(compile(shown.problem.shape, {0.1, generator}));
        EXPECT_EQ(shown.differences({.p = 0.1, .generator = generator}), 0) << to_string(shape);
      }
    }
  }
}

TEST_P(DropoutOn, P14_D08_KeptFraction) {
  covers("P14");
  ShownFactors small({.q_len = 64, .kv_len = 64, .head_dim = 8});
  small.run(compile(small.problem.shape, {0.1}));
  EXPECT_EQ(small.dropped(), 451);
  ShownFactors large({.q_len = 512, .kv_len = 512, .head_dim = 8});
  for (const DropoutGenerator generator : kGenerators) {
    for (const double p : {0.1, 0.5, 0.9}) {
      large.run(compile(large.problem.shape, {p, generator}));
      EXPECT_NEAR(static_cast<double>(large.dropped()) / (512 * 512), p, 0.01);
    }
  }
}

TEST_P(DropoutOn, OfWindowsBlocksAndThreadsTheSame) {
  const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 130, .kv_len = 270, .head_dim = 32};
  Problem one(shape), several(shape);
  AttentionSpec spec = with_dropout(spec_of("", shape), {0.3});
  spec.window = Window{70, 5};
  compile(spec).run(one.args()).value();
  const DropoutOracle factor{.p = 0.3};
  EXPECT_TRUE(is_attention(one, {.mask =
                                     [](const Position& p) {
                                       const std::int32_t distance = p.kv_idx - p.q_idx - 140;
                                       return distance >= -70 && distance <= 5;
                                     },
                                 .factor = factor}));
  EngineOptions options;
  options.threads = 3;
  if (GetParam() == "reference") {
    options.backend = Backend::kReference;
  } else {
    options.target = GetParam();
  }
  Engine(options).compile(spec).value().run(several.args()).value();
  EXPECT_TRUE(outputs_identical(several, one));
}

TEST_P(DropoutOn, F12_EveryProbabilityAgainstTheDefinition) {
  covers("F12");
  for (const Shape shape :
       {Shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 61, .kv_len = 300, .head_dim = 24, .v_head_dim = 20},
        Shape{.batch = 2, .q_heads = 6, .kv_heads = 1, .q_len = 3, .kv_len = 130, .head_dim = 64}}) {
    for (const DropoutGenerator generator : kGenerators) {
      for (const double p : kProbabilities) {
        Problem problem(shape);
        compile(shape, {p, generator}).run(problem.args()).value();
        const DropoutOracle factor{.p = p, .generator = generator};
        EXPECT_TRUE(is_attention(problem, {.factor = factor})) << p;
        if (p == 1) {
          EXPECT_TRUE(std::ranges::all_of(problem.out.values(), [](double x) { return x == 0; }));
        }
      }
    }
  }
}

TEST_P(DropoutOn, LseAndMaximaDoNotKnowIt) {
  covers("C12");
  for (const Shape shape : {Shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 61, .kv_len = 300, .head_dim = 24},
                            Shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 2, .kv_len = 300, .head_dim = 24}}) {
    Problem plain(shape);
    RunArgs args = plain.args();
    args.max_scores = plain.max_scores_view();
    compile(spec_of("", shape)).run(args).value();
    for (const DropoutGenerator generator : kGenerators) {
      for (const double p : kProbabilities) {
        Problem dropped(shape);
        args = dropped.args();
        args.max_scores = dropped.max_scores_view();
        compile(shape, {p, generator}).run(args).value();
        EXPECT_EQ(dropped.lse, plain.lse) << p;
        EXPECT_EQ(dropped.max_scores, plain.max_scores) << p;
        if (p == 0) {
          EXPECT_TRUE(outputs_identical(dropped, plain));
        }
      }
    }
  }
}

TEST_P(DropoutOn, BesideModsSinksAndSigmoids) {
  const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 45, .kv_len = 150, .head_dim = 24};
  for (const DropoutGenerator generator : kGenerators) {
    const DropoutOracle factor{.p = 0.4, .generator = generator};
    AttentionSpec spec = with_dropout(spec_of("", shape), {0.4, generator});
    spec.score_mod = "score + 0.01 * (kv_idx - q_idx)";
    spec.mask_mod = "kv_idx % 5 != q_idx % 5";
    OraclePattern pattern{.score = [](Real s, const Position& p) { return s + 0.01L * (p.kv_idx - p.q_idx); },
                          .mask = [](const Position& p) { return p.kv_idx % 5 != p.q_idx % 5; },
                          .factor = factor};
    const std::vector<float> sinks = {0.5F, -1, 2, 0};
    Problem with_sinks(shape), sigmoid(shape);
    RunArgs args = with_sinks.args();
    args.sinks = TensorView(sinks.data(), DType::kF32, {4});
    compile(spec).run(args).value();
    pattern.sinks = {0.5, -1, 2, 0};
    EXPECT_TRUE(is_attention(with_sinks, pattern));
    pattern.sinks = {};
    spec.weights = pattern.weights = Weights::kSigmoid;
    args = sigmoid.args();
    args.lse = {};
    compile(spec).run(args).value();
    EXPECT_TRUE(is_attention(sigmoid, pattern, {.out = near(1e-5)}));  // sums of 150 weights
  }
}

TEST_P(DropoutOn, OfEveryElementType) {
  for (const Types types : {Types{DType::kBF16, DType::kBF16, DType::kF32}, Types{DType::kF16, DType::kF16, DType::kF32},
                            Types{DType::kF32, DType::kBF16, DType::kF32}, Types{DType::kF64, DType::kF64, DType::kF64}}) {
    for (const std::int32_t q_len : {2, 50}) {
      const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = q_len, .kv_len = 131, .head_dim = 32};
      for (const DropoutGenerator generator : kGenerators) {
        Problem problem(shape, types);
        AttentionSpec spec = with_dropout(spec_of("", shape), {0.25, generator});
        spec.dtype = types.q;
        spec.kv_dtype = types.kv;
        spec.out_dtype = types.out;
        compile(spec).run(problem.args()).value();
        const DropoutOracle factor{.p = 0.25, .generator = generator};
        const double tolerance = types.q == DType::kBF16 ? 1e-2 : 1e-5;
        EXPECT_TRUE(is_attention(problem, {.factor = factor}, {near(tolerance), near(1e-4)}));
      }
    }
  }
}

// A41: a mask belongs to its seed, and not to the call.
TEST_P(DropoutOn, A41_SeedsAndOffsets) {
  ShownFactors shown({.q_heads = 2, .kv_heads = 2, .q_len = 40, .kv_len = 96, .head_dim = 8});
  for (const DropoutGenerator generator : kGenerators) {
    const Attention attention = compile(shown.problem.shape, {0.5, generator});
    shown.run(attention);
    const std::vector<unsigned char> first = shown.problem.out.bytes;
    std::vector<std::vector<unsigned char>> seen = {first};
    for (const auto& [seed, offset] : {std::pair{7, 0}, {8, 0}, {7, 1}, {-1, 0x1D4B49}, {0x1BF58, -5}}) {
      Bindings bindings;
      bindings.params["dropout_seed"] = seed;
      bindings.params["dropout_offset"] = offset;
      shown.run(attention, &bindings);
      EXPECT_EQ(shown.differences({.p = 0.5, .generator = generator, .seed = seed, .offset = offset}), 0);
      EXPECT_EQ(std::ranges::count(seen, shown.problem.out.bytes), 0);
      seen.push_back(shown.problem.out.bytes);
    }
    shown.run(attention);
    EXPECT_EQ(shown.problem.out.bytes, first) << "the same seed gives the same bits";
  }
}

// What is dropped takes no part, whatever value is there.
TEST_P(DropoutOn, ValuesOfDroppedKeysAreNotLookedAt) {
  for (const std::int32_t q_len : {1, 20}) {
    for (const DropoutGenerator generator : kGenerators) {
      const Shape shape{.q_len = q_len, .kv_len = 90, .head_dim = 16};
      Problem problem(shape);
      const DropoutOracle factor{.p = 0.5, .generator = generator};
      // NaN where row 0 drops: other rows may keep it.
      problem.v.fill([&](std::size_t i) {
        return factor.drops({0, 0, 0, static_cast<std::int32_t>(i / 16)}) ? std::numeric_limits<double>::quiet_NaN() : 1.0;
      });
      compile(shape, {0.5, generator}).run(problem.args()).value();
      EXPECT_TRUE(is_attention(problem, {.factor = factor}));
      EXPECT_TRUE(std::isfinite(problem.out[0]));
    }
  }
}

TEST_P(DropoutOn, NoNewProbabilityOrSeedCompilesAnything) {
  ShownFactors shown({.q_len = 30, .kv_len = 40, .head_dim = 8});
  const Attention attention = compile(shown.problem.shape, {0.5});
  shown.run(attention);
  const std::int64_t before = engine().stats().compiles;
  compile(shown.problem.shape, {0.25});
  Bindings bindings;
  bindings.params["dropout_p"] = 0.75;
  bindings.params["dropout_seed"] = 3;
  shown.run(attention, &bindings);
  EXPECT_EQ(shown.differences({.p = 0.75, .seed = 3}), 0);
  EXPECT_EQ(engine().stats().compiles, before);
}

// D08: by the sign of a weight.
TEST_P(DropoutOn, D08_WeightsShowWhatIsDropped) {
  covers("D08");
  const Shape shape{.batch = 2, .q_heads = 2, .kv_heads = 1, .q_len = 9, .kv_len = 300, .head_dim = 16};
  Problem problem(shape);
  AttentionSpec spec = with_dropout(spec_of("", shape), {0.2});
  const std::vector<float> dropped = compile(spec).weights(problem.args(), {.q = {0, 9}}).value();
  spec.dropout.reset();
  const std::vector<float> plain = compile(spec).weights(problem.args(), {.q = {0, 9}}).value();
  ASSERT_EQ(dropped.size(), std::size_t{2 * 2 * 9 * 300});
  std::size_t i = 0, count = 0;
  for (Position p{}; p.b < 2; ++p.b)
    for (p.h = 0; p.h < 2; ++p.h)
      for (p.q_idx = 0; p.q_idx < 9; ++p.q_idx)
        for (p.kv_idx = 0; p.kv_idx < 300; ++p.kv_idx, ++i) {
          const bool drops = DropoutOracle{.p = 0.2}.drops(p);
          EXPECT_EQ(dropped[i], drops ? -plain[i] : plain[i]);
          EXPECT_EQ(std::signbit(dropped[i]), drops);
          count += drops ? 1 : 0;
        }
  EXPECT_NEAR(static_cast<double>(count) / static_cast<double>(dropped.size()), 0.2, 0.01);
}

TEST_P(DropoutOn, WhatIsNoProbabilityIsRefused) {
  const Shape shape{.q_len = 4, .kv_len = 4, .head_dim = 8};
  Problem problem(shape);
  const Attention attention = compile(shape, {0.5});
  for (const double p : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    EXPECT_FALSE(engine().compile(with_dropout(spec_of("", shape), {p})).has_value()) << p;
    Bindings bindings;
    bindings.params["dropout_p"] = p;
    EXPECT_FALSE(attention.run(problem.args(&bindings)).has_value()) << p;
  }
}

INSTANTIATE_TEST_SUITE_P(All, DropoutOn, testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
