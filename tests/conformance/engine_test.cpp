// What must not change a result: the thread count, the moment, a block mask that is given or derived, a new length on an old
// kernel. And what must not cause a compilation.
#include <atomic>
#include <thread>

#include "harness.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

constexpr const char* kProgram =
    "param window : int = 40\nbuffer slope : f32[num_heads]\n"
    "score = score - slope[h] * abs(q_idx - kv_idx)\nmask = abs(q_idx - kv_idx) <= window";

Captures slopes(const Shape& shape) {
  Captures captures;
  captures.add("slope", {shape.q_heads}, std::vector<float>(static_cast<std::size_t>(shape.q_heads), 0.05F));
  return captures;
}

Engine engine_with_threads(int threads) {
  EngineOptions options;
  options.backend = Backend::kCompiled;
  options.threads = threads;
  return Engine(options);
}

TEST(Threads, EveryCountGivesTheSameBits) {
  constexpr Shape kShape{.batch = 2, .q_heads = 3, .kv_heads = 3, .q_len = 333, .kv_len = 290, .head_dim = 40};
  Captures captures = slopes(kShape);
  Problem one(kShape);
  Engine single = engine_with_threads(1);
  compile_or_throw(single, spec_of(kProgram, kShape)).run(one.args(&captures.bindings())).value();
  for (int threads : {2, 3, 4}) {
    Engine engine = engine_with_threads(threads);
    Attention attention = compile_or_throw(engine, spec_of(kProgram, kShape));
    for (int repeat = 0; repeat < 3; ++repeat) {
      Problem several(kShape);
      attention.run(several.args(&captures.bindings())).value();
      EXPECT_TRUE(outputs_identical(several, one)) << threads << " threads";
    }
  }
}

TEST(Threads, OneHandleRunsInSeveralCallers) {
  constexpr Shape kShape{.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 200, .kv_len = 220, .head_dim = 32};
  Captures captures = slopes(kShape);
  Attention attention = compile_or_throw(engine_for("host"), spec_of(kProgram, kShape));
  Problem alone(kShape);
  attention.run(alone.args(&captures.bindings())).value();
  std::atomic<int> differing = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 5; ++repeat) {
        Problem mine(kShape);
        bool fine = attention.run(mine.args(&captures.bindings())).has_value();
        if (!fine || !outputs_identical(mine, alone)) ++differing;
      }
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(differing, 0);
}

TEST(Recompilation, LengthsBatchHeadsStridesAndParamsAreRuntimeValues) {
  Engine engine = engine_with_threads(2);
  Attention attention = compile_or_throw(engine, spec_of(kProgram, {.head_dim = 24}));
  ASSERT_EQ(engine.stats().compiles, 1);
  for (Shape shape : {Shape{.batch = 1, .q_heads = 1, .kv_heads = 1, .q_len = 3, .kv_len = 500, .head_dim = 24},
                      Shape{.batch = 3, .q_heads = 6, .kv_heads = 2, .q_len = 100, .kv_len = 33, .head_dim = 24},
                      Shape{.batch = 2, .q_heads = 2, .kv_heads = 1, .q_len = 65, .kv_len = 65, .head_dim = 24}}) {
    Captures captures = slopes(shape);
    for (std::int32_t window : {0, 7, 1000}) {
      captures.set("window", window);
      Problem actual(shape), expected(shape);
      attention.run(actual.args(&captures.bindings())).value();
      attention.run_reference(expected.args(&captures.bindings())).value();
      EXPECT_TRUE(outputs_agree(actual, expected)) << to_string(shape) << ", window " << window;
    }
    EXPECT_TRUE(engine.compile(spec_of(kProgram, shape)).has_value());
  }
  EXPECT_EQ(engine.stats().compiles, 2);  // one for few query rows, at the first such call
  EXPECT_EQ(engine.stats().memory_hits, 3);
}

TEST(Recompilation, ScaleAndSpellingShareAKernel) {
  Engine engine = engine_with_threads(2);
  AttentionSpec spec = spec_of("mask = q_idx >= kv_idx", {.head_dim = 24});
  Attention first = compile_or_throw(engine, spec);
  spec.scale = 0.5F;
  Attention scaled = compile_or_throw(engine, spec);
  Attention respelled = compile_or_throw(engine, spec_of("# the same\nlet d = q\nmask = ((d >= kv))", {.head_dim = 24}));
  EXPECT_EQ(engine.stats().compiles, 1);
  EXPECT_EQ(first.kernel_source(), KernelSource::kCompiled);
  EXPECT_EQ(respelled.kernel_source(), KernelSource::kMemory);
  EXPECT_TRUE(engine.compile(spec_of("mask = q_idx > kv_idx", {.head_dim = 24})).has_value());
  EXPECT_EQ(engine.stats().compiles, 2);
}

constexpr Shape kMaskShape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 300, .kv_len = 250, .head_dim = 32};
constexpr const char* kMaskProgram = "mask = kv_idx <= q_idx && q_idx - kv_idx <= 50 * (h + 1) + 30 * b";

TEST(BlockMasks, GivenOrDerivedIsTheSame) {
  covers("C10", "F07");
  Attention attention = compile_or_throw(engine_for("host"), spec_of(kMaskProgram, kMaskShape));
  Problem derived(kMaskShape), reference(kMaskShape);
  attention.run(derived.args()).value();
  attention.run_reference(reference.args()).value();
  EXPECT_TRUE(outputs_agree(derived, reference));
  for (auto [q_block, kv_block] :
       std::vector<std::pair<int, int>>{{128, 128}, {16, 16}, {48, 64}, {7, 13}, {300, 250}, {1, 1}, {64, 1000}}) {
    BlockMask mask =
        attention
            .create_block_mask(
                {.batch = 2, .heads = 4, .kv_heads = 2, .q_len = 300, .kv_len = 250, .q_block = q_block, .kv_block = kv_block})
            .value();
    Problem given(kMaskShape);
    RunArgs args = given.args();
    args.block_mask = &mask;
    attention.run(args).value();
    EXPECT_TRUE(outputs_agree(given, reference)) << q_block << " x " << kv_block;
  }
}

TEST(BlockMasks, OneIsReusedByManyCalls) {
  constexpr Shape kShape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 130, .kv_len = 130, .head_dim = 16};
  Attention attention = compile_or_throw(engine_for("host"), spec_of("mask = q_idx >= kv_idx", kShape));
  BlockMask mask = attention.create_block_mask({.batch = 2, .heads = 4, .q_len = 130, .kv_len = 130}).value();
  EXPECT_EQ(mask.shape().batch, 1);
  EXPECT_EQ(mask.shape().heads, 1);
  for (std::uint64_t seed : {1, 2, 3}) {
    Problem given(kShape, {}, seed), derived(kShape, {}, seed);
    RunArgs args = given.args();
    args.block_mask = &mask;
    attention.run(args).value();
    attention.run(derived.args()).value();
    EXPECT_TRUE(outputs_agree(given, derived));
  }
}

// A checkerboard of full and empty blocks, whose sizes have nothing to do with the kernel's tiles. The mask of a call is the
// block mask AND the pattern's own, so a pattern without a mask must leave out exactly the empty blocks.
TEST(BlockMasks, OneMadeByHandRestrictsAPatternWithoutAMask) {
  constexpr Shape kShape{.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 300, .kv_len = 410, .head_dim = 16};
  for (auto [q_block, kv_block] : std::vector<std::pair<int, int>>{{48, 64}, {128, 128}, {64, 50}, {7, 13}}) {
    BlockMaskShape blocks{.q_len = 300, .kv_len = 410, .q_block = q_block, .kv_block = kv_block};
    std::vector<BlockKind> kinds;
    for (std::int32_t row = 0; row < blocks.q_blocks(); ++row)
      for (std::int32_t column = 0; column < blocks.kv_blocks(); ++column)
        kinds.push_back((row + column) % 2 == 0 ? BlockKind::kFull : BlockKind::kEmpty);
    BlockMask mask = BlockMask::from_kinds(blocks, kinds).value();
    Problem given(kShape), expected(kShape);
    RunArgs args = given.args();
    args.block_mask = &mask;
    compile_or_throw(engine_for("host"), spec_of("score = score", kShape)).run(args).value();
    Captures captures;
    captures.set("qb", q_block).set("kb", kv_block);
    const char* same = "param qb : int; param kb : int\nmask = (q_idx // qb + kv_idx // kb) % 2 == 0";
    Attention spelled = compile_or_throw(engine_for("host"), spec_of(same, kShape));
    spelled.run_reference(expected.args(&captures.bindings())).value();
    EXPECT_TRUE(outputs_agree(given, expected)) << q_block << " x " << kv_block;
  }
}

TEST(BlockMasks, WorkIsSkipped) {
  constexpr Shape kShape{.batch = 1, .q_heads = 1, .kv_heads = 1, .q_len = 1024, .kv_len = 1024, .head_dim = 16};
  Problem dense(kShape), sparse(kShape);
  RunStats all = compile_or_throw(engine_for("host"), spec_of("score = score", kShape)).run(dense.args()).value();
  RunStats some = compile_or_throw(engine_for("host"), spec_of("mask = q_idx >= kv_idx && q_idx - kv_idx <= 64", kShape))
                      .run(sparse.args())
                      .value();
  EXPECT_EQ(all.scores_visited, 1024 * 1024);
  EXPECT_LT(some.scores_visited, 1024 * 1024 / 4);
  EXPECT_GT(some.blocks.empty, some.blocks.partial + some.blocks.full);
}

TEST(ReferenceRows, OnlyThoseAreWritten) {
  constexpr Shape kShape{.batch = 2, .q_heads = 2, .kv_heads = 1, .q_len = 20, .kv_len = 33, .head_dim = 8};
  Attention attention =
      compile_or_throw(engine_for("host"), spec_of("score = score + q_idx * kv_idx * 0.01\nmask = kv_idx <= q_idx", kShape));
  Problem all(kShape), some(kShape);
  attention.run_reference(all.args()).value();
  attention.run_reference(some.args(), {.q_begin = 5, .q_count = 7}).value();
  for (std::size_t row = 0; row < some.lse.size(); ++row) {
    bool wanted = row % 20 >= 5 && row % 20 < 12;
    EXPECT_EQ(some.lse[row] == all.lse[row], wanted);
    EXPECT_EQ(some.out[row * 8 + 3] == all.out[row * 8 + 3], wanted);
  }
}

TEST(ReferenceRows, EndWithTheTensor) {
  constexpr Shape kShape{.q_len = 6, .kv_len = 5, .head_dim = 8};
  Attention attention = compile_or_throw(engine_for("host"), spec_of("score = score", kShape));
  Problem all(kShape), some(kShape);
  attention.run_reference(all.args()).value();
  attention.run_reference(some.args(), {.q_begin = 0, .q_count = 100}).value();
  EXPECT_TRUE(outputs_identical(some, all));
  some.poison_outputs();
  attention.run_reference(some.args(), {.q_begin = 4}).value();
  EXPECT_TRUE(some.lse[3] != all.lse[3] && some.lse[4] == all.lse[4] && some.lse[5] == all.lse[5]);
  EXPECT_TRUE(attention.run_reference(some.args(), {.q_begin = 100}).has_value());
}

}  // namespace
}  // namespace flexjit::conformance
