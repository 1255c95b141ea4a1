// Attention handles through the public API, on both backends, against attention written down naively.
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "flexjit/flexjit.h"
#include "support/brute_force.h"
#include "support/checklist.h"
#include "support/comparison.h"

namespace flexjit::test {
namespace {

EngineOptions with_backend(Backend backend) {
  EngineOptions options;
  options.backend = backend;
  return options;
}

class AttentionOn : public testing::TestWithParam<Backend> {
 protected:
  Engine engine{with_backend(GetParam())};
};

AttentionSpec spec_of(const Shape& shape) {
  AttentionSpec spec;
  spec.head_dim = shape.head_dim;
  spec.v_head_dim = shape.v_head_dim;
  return spec;
}

constexpr Shape kRagged{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 70, .kv_len = 131, .head_dim = 24, .v_head_dim = 40};

TEST_P(AttentionOn, PlainAttention) {
  covers("D10", "X19");
  Problem problem(kRagged);
  engine.compile(spec_of(kRagged)).value().run(problem.args()).value();
  EXPECT_TRUE(is_attention(problem, {}, kNear));
}

TEST_P(AttentionOn, AlibiInASlidingWindow) {
  Problem problem(kRagged);
  const std::vector<float> slope = {0.5F, 0.25F, 0.125F, 0.0625F};
  Bindings bindings;
  bindings.buffers["slope"] = TensorView(slope.data(), DType::kF32, {4});
  bindings.params["window"] = 50;
  AttentionSpec spec = spec_of(kRagged);
  spec.score_mod = "score + slope[h] * (kv_idx - q_idx)";
  spec.mask_mod = "q_idx >= kv_idx && q_idx - kv_idx < window";
  RunArgs args = problem.args();
  args.bindings = &bindings;
  engine.compile(spec.declare(bindings)).value().run(args).value();
  const OraclePattern pattern{.score =
                                  [&](double score, const Position& p) {
                                    return score +
                                           slope[static_cast<std::size_t>(p.h)] * static_cast<double>(p.kv_idx - p.q_idx);
                                  },
                              .mask = [](const Position& p) { return p.q_idx >= p.kv_idx && p.q_idx - p.kv_idx < 50; }};
  EXPECT_TRUE(is_attention(problem, pattern, kNear));
}

TEST_P(AttentionOn, IntBindsToAFloatParam) {
  Problem problem(kRagged);
  AttentionSpec spec = spec_of(kRagged);
  spec.program = "param gain : float\nscore = score * gain\n";
  Bindings bindings;
  bindings.params["gain"] = 3;
  RunArgs args = problem.args();
  args.bindings = &bindings;
  engine.compile(spec).value().run(args).value();
  const OraclePattern pattern{.score = [](double score, const Position&) { return 3 * score; }};
  EXPECT_TRUE(is_attention(problem, pattern, kNear));
}

TEST_P(AttentionOn, FullyMaskedRowsAreZeroAndMinusInfinity) {
  Problem problem(kRagged);
  AttentionSpec spec = spec_of(kRagged);
  spec.mask_mod = "q_idx % 3 != 0 && kv_idx <= q_idx";
  engine.compile(spec).value().run(problem.args()).value();
  const OraclePattern pattern{.mask = [](const Position& p) { return p.q_idx % 3 != 0 && p.kv_idx <= p.q_idx; }};
  EXPECT_TRUE(is_attention(problem, pattern, kNear));
  EXPECT_EQ(problem.lse[0], -std::numeric_limits<float>::infinity());
  EXPECT_EQ(problem.out[0], 0.0F);
}

TEST_P(AttentionOn, NoKeysGiveZeroAndMinusInfinity) {
  Shape shape = kRagged;
  shape.kv_len = 0;
  Problem problem(shape);
  AttentionSpec spec = spec_of(shape);
  spec.program = "buffer t : f32[kv_len]\nscore = score + t[kv_len - 1]\n";  // in range for every length of at least 1
  Bindings bindings;
  bindings.buffers["t"] = TensorView(nullptr, DType::kF32, {0});
  RunArgs args = problem.args();
  args.bindings = &bindings;
  engine.compile(spec).value().run(args).value();
  for (double value : problem.out.values()) ASSERT_EQ(value, 0);
  for (float value : problem.lse) ASSERT_EQ(value, -std::numeric_limits<float>::infinity());
}

TEST_P(AttentionOn, NothingToComputeIsNoError) {
  for (std::int32_t Shape::* extent : {&Shape::batch, &Shape::q_len}) {
    Shape shape = kRagged;
    shape.*extent = 0;
    Problem problem(shape);
    EXPECT_TRUE(engine.compile(spec_of(shape)).value().run(problem.args()).has_value());
  }
  Shape shape = kRagged;
  shape.q_heads = shape.kv_heads = 0;
  Problem problem(shape);
  EXPECT_TRUE(engine.compile(spec_of(shape)).value().run(problem.args()).has_value());
}

TEST_P(AttentionOn, LseMayBeAbsent) {
  Problem with(kRagged), without(kRagged);
  const Attention attention = engine.compile(spec_of(kRagged)).value();
  attention.run(with.args()).value();
  RunArgs args = without.args();
  args.lse = {};
  attention.run(args).value();
  EXPECT_EQ(without.out.bytes, with.out.bytes);
  for (float value : without.lse) ASSERT_TRUE(std::isnan(value));
}

TEST_P(AttentionOn, BshdViewsGiveTheSame) {
  const Attention attention = engine.compile(spec_of(kRagged)).value();
  Problem problem(kRagged), moved(kRagged);
  attention.run(problem.args()).value();
  const Shape& s = kRagged;
  for (Tensor Problem::* member : {&Problem::q, &Problem::out}) {
    Tensor& tensor = moved.*member;
    const std::int64_t dim = member == &Problem::q ? s.head_dim : s.v_head_dim;
    tensor = Tensor(DType::kF32, {s.batch, s.q_heads, s.q_len, dim}, length_first);
    tensor.fill([&](std::size_t i) { return (problem.*member)[i]; });
  }
  moved.poison_outputs();
  RunArgs args = moved.args();
  args.q = bshd(args.q.data, DType::kF32, {s.batch, s.q_len, s.q_heads, s.head_dim});
  args.out = bshd(args.out.data, DType::kF32, {s.batch, s.q_len, s.q_heads, s.v_head_dim});
  attention.run(args).value();
  EXPECT_TRUE(outputs_identical(moved, problem));
}

TEST_P(AttentionOn, GivenBlockMaskIsUsed) {
  Problem problem(kRagged);
  AttentionSpec spec = spec_of(kRagged);
  spec.mask_mod = "kv_idx <= q_idx";
  const Attention attention = engine.compile(spec).value();
  const BlockMask mask = attention.create_block_mask({.q_len = 70, .kv_len = 131, .q_block = 32, .kv_block = 32}).value();
  RunArgs args = problem.args();
  args.block_mask = &mask;
  const RunStats stats = attention.run(args).value();
  const OraclePattern causal{.mask = [](const Position& p) { return p.kv_idx <= p.q_idx; }};
  EXPECT_TRUE(is_attention(problem, causal, kNear));
  EXPECT_EQ(stats.blocks.empty, mask.counts().empty);
  EXPECT_EQ(stats.blocks.partial, mask.counts().partial);
  EXPECT_EQ(stats.blocks.full, mask.counts().full);
}

TEST_P(AttentionOn, EmptyBlocksOfAGivenMaskMaskAlone) {
  Problem problem(kRagged);
  const Attention attention = engine.compile(spec_of(kRagged)).value();
  const BlockMaskShape shape{.q_len = 70, .kv_len = 131, .q_block = 70, .kv_block = 64};
  const BlockMask mask =
      BlockMask::from_kinds(shape, std::vector{BlockKind::kFull, BlockKind::kEmpty, BlockKind::kFull}).value();
  RunArgs args = problem.args();
  args.block_mask = &mask;
  attention.run(args).value();
  const OraclePattern pattern{.mask = [](const Position& p) { return p.kv_idx < 64 || p.kv_idx >= 128; }};
  EXPECT_TRUE(is_attention(problem, pattern, kNear));
}

TEST_P(AttentionOn, ReferenceRowsAloneAreWritten) {
  Problem all(kRagged), some(kRagged);
  AttentionSpec spec = spec_of(kRagged);
  spec.mask_mod = "kv_idx <= q_idx";
  const Attention attention = engine.compile(spec).value();
  attention.run_reference(all.args()).value();
  attention.run_reference(some.args(), {.q_begin = 10, .q_count = 7}).value();
  for (std::size_t i = 0; i < all.out.size(); ++i) {
    const auto q_idx = static_cast<std::int64_t>(i) / kRagged.v_head_dim % kRagged.q_len;
    ASSERT_TRUE(q_idx >= 10 && q_idx < 17 ? some.out[i] == all.out[i] : std::isnan(some.out[i])) << i;
  }
}

TEST_P(AttentionOn, HandleOutlivesItsEngine) {
  Problem problem(kRagged);
  std::optional<Attention> attention;
  {
    Engine mortal(with_backend(GetParam()));
    attention = mortal.compile(spec_of(kRagged)).value();
    mortal.clear_cache();
  }
  attention->run(problem.args()).value();
  EXPECT_TRUE(is_attention(problem, {}, kNear));
}

TEST_P(AttentionOn, ConcurrentRunsOfOneHandleAreEqual) {
  AttentionSpec spec = spec_of(kRagged);
  spec.mask_mod = "kv_idx <= q_idx + 3";
  const Attention attention = engine.compile(spec).value();
  Problem expected(kRagged);
  attention.run(expected.args()).value();
  std::vector<Problem> problems(4, Problem(kRagged));
  {
    std::vector<std::jthread> threads;
    for (Problem& problem : problems) {
      threads.emplace_back([&] {
        for (int i = 0; i < 5; ++i) (void)attention.run(problem.args());
      });
    }
  }
  for (const Problem& problem : problems) EXPECT_TRUE(outputs_identical(problem, expected));
}

TEST_P(AttentionOn, NamesWhatItTakes) {
  AttentionSpec spec;
  spec.program =
      "param window : int = 256\n"
      "buffer slope : f32[num_heads]\n"
      "buffer table : i32[window, 8]\n"
      "score = score + slope[h]\n"
      "mask = table[0, 0] < window\n";
  const Attention attention = engine.compile(spec).value();
  const std::vector<BufferDeclaration> buffers = attention.buffers();
  ASSERT_EQ(buffers.size(), 2U);
  EXPECT_EQ(buffers[0].name, "slope");
  EXPECT_EQ(buffers[0].extents, std::vector<std::string>{"num_heads"});
  EXPECT_EQ(buffers[1].dtype, DType::kI32);
  EXPECT_EQ(buffers[1].rank, 2);
  EXPECT_EQ(buffers[1].extents, (std::vector<std::string>{"window", "8"}));
  const std::vector<ParamDeclaration> params = attention.params();
  ASSERT_EQ(params.size(), 1U);
  EXPECT_EQ(params[0].name, "window");
  EXPECT_EQ(params[0].default_value, Scalar{256});
}

TEST_P(AttentionOn, BlockMaskIsExact) {
  AttentionSpec spec;
  spec.mask_mod = "kv_idx <= q_idx && (q_idx - kv_idx) % 7 != 3 && doc[q_idx] == doc[kv_idx]";
  std::vector<std::int32_t> doc(100);
  for (std::size_t i = 0; i < doc.size(); ++i) doc[i] = i < 40 ? 0 : i < 41 ? 1 : 2;
  Bindings bindings;
  bindings.buffers["doc"] = TensorView(doc.data(), DType::kI32, {100});
  const Attention attention = engine.compile(spec.declare(bindings)).value();
  const BlockMask mask =
      attention.create_block_mask({.batch = 3, .heads = 2, .q_len = 100, .kv_len = 100, .q_block = 8, .kv_block = 4}, &bindings)
          .value();
  EXPECT_EQ(mask.shape().batch, 1) << "the mask reads neither b nor h";
  EXPECT_EQ(mask.shape().heads, 1);
  EXPECT_EQ(mask.to_dense(), brute_force_kinds(mask.shape(), [&](int, int, int q, int kv) {
              return kv <= q && (q - kv) % 7 != 3 && doc[static_cast<std::size_t>(q)] == doc[static_cast<std::size_t>(kv)];
            }));
  EXPECT_EQ(mask.kind(2, 1, 5, 11), mask.kind(0, 0, 5, 11));
}

INSTANTIATE_TEST_SUITE_P(Backends, AttentionOn, testing::Values(Backend::kCompiled, Backend::kReference),
                         [](const auto& backend) { return backend.param == Backend::kCompiled ? "Compiled" : "Reference"; });

}  // namespace
}  // namespace flexjit::test
