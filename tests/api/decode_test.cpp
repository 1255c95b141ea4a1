// Calls with few query rows and merged states, through the public API, against attention written down naively.
#include <gtest/gtest.h>

#include <bit>
#include <optional>
#include <thread>

#include "flexjit/flexjit.h"
#include "support/checklist.h"
#include "support/comparison.h"

namespace flexjit::test {
namespace {

Engine compiled_engine(int threads = 0) {
  EngineOptions options;
  options.backend = Backend::kCompiled;
  options.threads = threads;
  return Engine(options);
}

AttentionSpec causal_window() {
  AttentionSpec spec;
  spec.head_dim = spec.v_head_dim = 16;
  spec.mask_mod = "kv_idx <= q_idx + kv_len - q_len && q_idx + kv_len - q_len - kv_idx < window";
  spec.params = {{.name = "window", .default_value = std::int32_t{1 << 20}}};
  return spec;
}

AttentionSpec plain16() {
  AttentionSpec spec;
  spec.head_dim = spec.v_head_dim = 16;
  return spec;
}

TEST(Decode, OneKernelServesEveryLengthBatchAndHeadCount) {
  Engine engine = compiled_engine();
  const Attention attention = engine.compile(causal_window()).value();
  EXPECT_EQ(engine.stats().compiles, 1);
  for (std::int32_t kv_len : {1, 7, 64, 1000, 1500, 3000}) {
    for (std::int32_t q_len : {1, 2, 4}) {
      if (q_len > kv_len) continue;
      Problem problem({.batch = 1 + kv_len % 2,
                       .q_heads = 6,
                       .kv_heads = 2,
                       .q_len = q_len,
                       .kv_len = kv_len,
                       .head_dim = 16,
                       .v_head_dim = 16});
      attention.run(problem.args()).value();
      const OraclePattern pattern{.mask = [&](const Position& p) { return p.kv_idx <= p.q_idx + kv_len - q_len; }};
      EXPECT_TRUE(is_attention(problem, pattern, kNear)) << q_len << " x " << kv_len;
    }
  }
  EXPECT_EQ(engine.stats().compiles, 2);
}

TEST(Decode, AWindowReadsOnlyItsKeys) {
  Engine engine = compiled_engine();
  const Attention attention = engine.compile(causal_window()).value();
  Problem problem({.q_heads = 4, .kv_heads = 2, .q_len = 1, .kv_len = 5000, .head_dim = 16, .v_head_dim = 16});
  Bindings bindings;
  bindings.params["window"] = 100;
  RunArgs args = problem.args();
  args.bindings = &bindings;
  EXPECT_LE(attention.run(args).value().scores_visited, 4 * (100 + 2 * 64));
  EXPECT_TRUE(is_attention(problem, {.mask = [](const Position& p) { return 4999 - p.kv_idx < 100; }}, kNear));
}

TEST(Decode, AMaskThatDiffersInsideAGroupIsStillExact) {
  Engine engine = compiled_engine();
  AttentionSpec spec = causal_window();
  spec.mask_mod = "kv_idx % (h + 2) == 0";
  spec.params.clear();
  Problem problem({.q_heads = 4, .kv_heads = 2, .q_len = 2, .kv_len = 300, .head_dim = 16, .v_head_dim = 16});
  engine.compile(spec).value().run(problem.args()).value();
  EXPECT_TRUE(is_attention(problem, {.mask = [](const Position& p) { return p.kv_idx % (p.h + 2) == 0; }}, kNear));
}

// By the decode kernel, which is the second that is compiled, whatever the mask depends on; a group reads common keys once.
TEST(Decode, ServesMasksByHead) {
  const std::vector<std::pair<std::string, bool (*)(const Position&)>> masks = {
      {"kv_idx < 150 + 100 * kv_head", [](const Position& p) { return p.kv_idx < 150 + 100 * (p.h / 3); }},
      {"kv_idx < 150 + 100 * h", [](const Position& p) { return p.kv_idx < 150 + 100 * p.h; }},
      {"kv_idx // 100 == h", [](const Position& p) { return p.kv_idx / 100 == p.h; }},
      {"h == 2 || (b == 1 && h == 4) ? kv_idx % 3 == 1 : kv_idx >= 64 * h + q_idx",
       [](const Position& p) {
         return p.h == 2 || (p.b == 1 && p.h == 4) ? p.kv_idx % 3 == 1 : p.kv_idx >= 64 * p.h + p.q_idx;
       }},
  };
  for (const auto& [text, allowed] : masks) {
    for (const std::int32_t q_len : {1, 3, 10}) {
      SCOPED_TRACE(text + ", q_len " + std::to_string(q_len));
      Engine engine = compiled_engine();
      AttentionSpec spec = causal_window();
      spec.mask_mod = text;
      spec.params.clear();
      const Attention attention = engine.compile(spec).value();
      Problem problem(
          {.batch = 2, .q_heads = 6, .kv_heads = 2, .q_len = q_len, .kv_len = 800, .head_dim = 16, .v_head_dim = 16});
      attention.run(problem.args()).value();
      EXPECT_TRUE(is_attention(problem, {.mask = allowed}, kNear));
      EXPECT_EQ(engine.stats().compiles, 2);
      // The same as a given mask, whose blocks end between the queries.
      const BlockMaskOptions options{
          .batch = 2, .heads = 6, .kv_heads = 2, .q_len = q_len, .kv_len = 800, .q_block = 2, .kv_block = 32};
      const BlockMask mask = attention.create_block_mask(options).value();
      Problem given(problem.shape);
      RunArgs args = given.args();
      args.block_mask = &mask;
      attention.run(args).value();
      EXPECT_TRUE(is_attention(given, {.mask = allowed}, kNear));
    }
  }
}

TEST(Decode, AGivenMaskByHeadIsWhatItSays) {
  // Without a mask in the text: what the blocks leave out is left out, and nothing else.
  Engine engine = compiled_engine();
  const Attention attention = engine.compile(plain16()).value();
  const auto allowed = [](const Position& p) { return (p.kv_idx / 20 + p.h + p.q_idx / 2) % 3 != 0; };
  std::vector<BlockKind> kinds;
  for (Position p{}; p.h < 4; ++p.h) {
    for (p.q_idx = 0; p.q_idx < 4; p.q_idx += 2) {
      for (p.kv_idx = 0; p.kv_idx < 310; p.kv_idx += 20) kinds.push_back(allowed(p) ? BlockKind::kFull : BlockKind::kEmpty);
    }
  }
  const BlockMask mask =
      BlockMask::from_kinds({.heads = 4, .q_len = 4, .kv_len = 310, .q_block = 2, .kv_block = 20}, kinds).value();
  Problem problem({.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 4, .kv_len = 310, .head_dim = 16, .v_head_dim = 16});
  RunArgs args = problem.args();
  args.block_mask = &mask;
  attention.run(args).value();
  EXPECT_TRUE(is_attention(problem, {.mask = allowed}, kNear));
  EXPECT_EQ(engine.stats().compiles, 2);
}

TEST(Decode, TheHandleCompilesItAfterItsEngineIsGone) {
  std::optional<Attention> attention;
  {
    Engine engine = compiled_engine();
    attention = engine.compile(causal_window()).value();
  }
  Problem problem({.q_heads = 2, .q_len = 1, .kv_len = 90, .head_dim = 16, .v_head_dim = 16});
  attention->run(problem.args()).value();
  EXPECT_TRUE(is_attention(problem, {}, kNear));
}

TEST(Decode, ThreadsThatNeedItAtOnceCompileItOnce) {
  Engine engine = compiled_engine(1);
  const Attention attention = engine.compile(causal_window()).value();
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < 4; ++i) {
      callers.emplace_back([&] {
        Problem problem({.q_heads = 2, .q_len = 1, .kv_len = 90, .head_dim = 16, .v_head_dim = 16});
        EXPECT_TRUE(attention.run(problem.args()).has_value());
      });
    }
  }
  EXPECT_EQ(engine.stats().compiles, 2);
}

TEST(Decode, ManyQueriesDoNotCompileIt) {
  Engine engine = compiled_engine();
  const Attention attention = engine.compile(causal_window()).value();
  Problem long_queries({.q_heads = 2, .q_len = 40, .kv_len = 90, .head_dim = 16, .v_head_dim = 16});
  attention.run(long_queries.args()).value();
  EXPECT_EQ(engine.stats().compiles, 1);
}

// The states of [0, cut) and [cut, kv_len) of one problem.
struct Parts {
  Parts(const Attention& attention, const Shape& s, std::int64_t cut) : problems(2, Problem(s)) {
    for (int part : {0, 1}) {
      const std::int64_t begin = part == 0 ? 0 : cut, end = part == 0 ? cut : s.kv_len;
      RunArgs args = problems[static_cast<std::size_t>(part)].args();
      args.k.shape[2] = args.v.shape[2] = end - begin;
      args.k.data = static_cast<const float*>(args.k.data) + begin * s.head_dim;
      args.v.data = static_cast<const float*>(args.v.data) + begin * s.v_head_dim;
      attention.run(args).value();
      states.push_back({args.out, args.lse});
    }
  }
  std::vector<Problem> problems;
  std::vector<AttentionState> states;
};

TEST(MergeStates, ASplitAnywhereIsTheWhole) {
  covers("I13");
  Engine engine = compiled_engine();
  const Attention attention = engine.compile(plain16()).value();
  for (std::int32_t q_len : {1, 20}) {
    Problem whole({.batch = 2, .q_heads = 3, .kv_heads = 3, .q_len = q_len, .kv_len = 50, .head_dim = 16, .v_head_dim = 16});
    attention.run(whole.args()).value();
    for (std::int64_t cut : {0, 1, 17, 49, 50}) {
      // Heads lie apart by the whole length, so that a part is a view of it.
      Parts parts(attention, whole.shape, cut);
      Problem merged(whole.shape), swapped(whole.shape);
      merge_states({.states = parts.states, .out = merged.args().out, .lse = merged.args().lse}).value();
      EXPECT_TRUE(agrees(merged, outputs_of(whole), {near(1e-6), near(1e-6)})) << cut;
      std::swap(parts.states[0], parts.states[1]);
      merge_states({.states = parts.states, .out = swapped.args().out, .lse = swapped.args().lse}).value();
      EXPECT_TRUE(agrees(swapped, outputs_of(merged), {near(1e-6), near(1e-6)})) << cut;
    }
  }
}

// Rows of 2 dims with chosen lse.
struct States {
  explicit States(std::vector<std::vector<float>> lses) : lse(std::move(lses)) {
    const auto rows = static_cast<std::int64_t>(lse[0].size());
    for (std::size_t i = 0; i < lse.size(); ++i) {
      auto& values = v.emplace_back(static_cast<std::size_t>(2 * rows));
      for (std::size_t d = 0; d < values.size(); ++d) values[d] = static_cast<float>(i) + 0.25F * static_cast<float>(d);
    }
    for (std::size_t i = 0; i < lse.size(); ++i) {
      views.push_back(
          {TensorView(v[i].data(), DType::kF32, {1, 1, rows, 2}), TensorView(lse[i].data(), DType::kF32, {1, 1, rows})});
    }
  }
  std::vector<std::vector<float>> lse, v;
  std::vector<AttentionState> views;
};

struct Merged {
  std::vector<float> out, lse;
};

Merged merge(std::span<const AttentionState> states, int threads = 1) {
  const std::int64_t rows = states[0].lse.shape[2];
  Merged merged{std::vector<float>(static_cast<std::size_t>(2 * rows)), std::vector<float>(static_cast<std::size_t>(rows))};
  merge_states({.states = states,
                .out = MutableTensorView(merged.out.data(), DType::kF32, {1, 1, rows, 2}),
                .lse = MutableTensorView(merged.lse.data(), DType::kF32, {1, 1, rows}),
                .threads = threads})
      .value();
  return merged;
}

TEST(MergeStates, IsAssociative) {
  covers("I13");
  States states({{0.5F, -3, 40, 2}, {1.5F, 7, -40, 2}, {-1, 6, 39, 2}});
  const Merged all = merge(states.views);
  Merged pair = merge(std::span(states.views).first(2));
  const AttentionState left{TensorView(pair.out.data(), DType::kF32, {1, 1, 4, 2}),
                            TensorView(pair.lse.data(), DType::kF32, {1, 1, 4})};
  const AttentionState both[] = {left, states.views[2]};
  const Merged nested = merge(both);
  EXPECT_TRUE(close(nested.out, all.out, near(1e-6)));
  EXPECT_TRUE(close(nested.lse, all.lse, near(1e-6)));
}

TEST(MergeStates, EmptyStatesTakeNoPart) {
  covers("I13");
  constexpr float kInf = std::numeric_limits<float>::infinity();
  States states({{-kInf, -kInf, 1}, {-kInf, 2, -kInf}});
  states.v[0][0] = states.v[0][2] = std::numeric_limits<float>::quiet_NaN();
  const Merged merged = merge(states.views);
  EXPECT_EQ(merged.lse, (std::vector<float>{-kInf, 2, 1}));
  EXPECT_EQ(merged.out, (std::vector<float>{0, 0, states.v[1][2], states.v[1][3], states.v[0][4], states.v[0][5]}));
}

TEST(MergeStates, InPlaceStridedAndInBf16) {
  States states({{1, 2}, {0, 4}});
  const Merged expected = merge(states.views);
  const auto to_bf16 = [](float x) { return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16); };
  std::vector<std::uint16_t> v(10, to_bf16(-1));  // rows 5 apart
  for (std::size_t i = 0; i < 4; ++i) v[i / 2 * 5 + i % 2] = to_bf16(states.v[0][i]);
  states.views[0].v = TensorView(v.data(), DType::kBF16, {1, 1, 2, 2});
  states.views[0].v.strides = {10, 10, 5, 1};
  MutableTensorView out(v.data(), DType::kBF16, {1, 1, 2, 2});
  out.strides = states.views[0].v.strides;
  merge_states({.states = states.views, .out = out, .lse = MutableTensorView(states.lse[0].data(), DType::kF32, {1, 1, 2})})
      .value();
  for (std::size_t i = 0; i < 4; ++i) {
    const float seen = std::bit_cast<float>(std::uint32_t{v[i / 2 * 5 + i % 2]} << 16);
    EXPECT_NEAR(seen, expected.out[i], std::abs(expected.out[i]) / 200 + 1e-6F);
  }
  EXPECT_EQ(v[2], to_bf16(-1));
  EXPECT_EQ(states.lse[0], expected.lse);
}

}  // namespace
}  // namespace flexjit::test
