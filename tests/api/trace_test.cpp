// Traces of compilations and of calls on real kernels.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "flexjit/flexjit.h"
#include "support/gradients.h"

namespace flexjit::test {
namespace {

EngineOptions two_threads() {
  EngineOptions options;
  options.backend = Backend::kCompiled;
  options.cache_dir.clear();
  options.threads = 2;
  return options;
}

AttentionSpec causal_at_the_end() {
  AttentionSpec spec;
  spec.mask_mod = "q_idx + kv_len - q_len >= kv_idx";
  spec.head_dim = 8;
  return spec;
}

std::vector<TraceKind> kinds_of(const Trace& trace) {
  std::vector<TraceKind> kinds;
  for (const TraceEvent& event : trace.events()) kinds.push_back(event.kind);
  return kinds;
}

std::int64_t count(const Trace& trace, TraceKind kind) { return std::ranges::count(kinds_of(trace), kind); }

std::int64_t scores_of(const Trace& trace) {
  std::int64_t scores = 0;
  for (const TraceEvent& event : trace.events()) scores += event.scores;
  return scores;
}

TEST(TraceOfACompilation, HasItsPhases) {
  Engine engine(two_threads());
  Trace first, second;
  (void)engine.compile(causal_at_the_end(), &first).value();
  EXPECT_EQ(kinds_of(first), (std::vector<TraceKind>{TraceKind::kFrontEnd, TraceKind::kDiskLookUp, TraceKind::kOpenCompiler,
                                                     TraceKind::kCompile}));
  (void)engine.compile(causal_at_the_end(), &second).value();
  EXPECT_EQ(kinds_of(second), std::vector<TraceKind>{TraceKind::kFrontEnd}) << "found in memory";
}

TEST(TraceOfARun, OfManyQueries) {
  Problem problem({.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 300, .kv_len = 300, .head_dim = 8});
  const Attention attention = Engine(two_threads()).compile(causal_at_the_end()).value();
  Trace trace;
  RunArgs args = problem.args();
  args.trace = &trace;
  const RunStats stats = attention.run(args).value();
  EXPECT_EQ(count(trace, TraceKind::kBlockMask), 1);
  EXPECT_GE(count(trace, TraceKind::kPack), 4);
  EXPECT_GE(count(trace, TraceKind::kTile), 8);
  EXPECT_EQ(count(trace, TraceKind::kCompile), 0);
  EXPECT_EQ(scores_of(trace), stats.scores_visited);
}

TEST(TraceOfARun, OfOneQuery) {
  Problem problem({.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 1, .kv_len = 3000, .head_dim = 8});
  const Attention attention = Engine(two_threads()).compile(causal_at_the_end()).value();
  Trace first, second;
  RunArgs args = problem.args();
  args.trace = &first;
  ASSERT_TRUE(attention.run(args).has_value());
  EXPECT_EQ(count(first, TraceKind::kCompile), 1) << "the kernel for few queries";
  args.trace = &second;
  const RunStats stats = attention.run(args).value();
  EXPECT_EQ(count(second, TraceKind::kCompile), 0);
  EXPECT_EQ(count(second, TraceKind::kMerge), 2 * 2);
  EXPECT_EQ(scores_of(second), stats.scores_visited);
  std::int64_t keys = 0;
  for (const TraceEvent& event : second.events()) {
    if (event.kind != TraceKind::kSplit) continue;
    EXPECT_EQ(event.q.begin, 0);
    EXPECT_EQ(event.q.end, 2) << "one row for each query head of the group";
    keys += event.kv.end - event.kv.begin;
  }
  EXPECT_EQ(keys, 2 * 2 * 3000);
}

// Rows by (kind, batch entry, head): how many of them, and whose.
using Rows = std::map<std::tuple<TraceKind, int, int>, std::int64_t>;
Rows rows_of(const Trace& trace, PositionRange TraceEvent::* range) {
  Rows rows;
  for (const TraceEvent& event : trace.events()) {
    const std::int64_t count = (event.*range).end - (event.*range).begin;
    if (count > 0) rows[{event.kind, event.b, event.head}] += count;
  }
  return rows;
}

TEST(TraceOfABackwardPass, HasAllThatThreadsDo) {
  const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 300, .kv_len = 310, .head_dim = 8};
  BackwardProblem problem(shape);
  AttentionSpec spec = causal_at_the_end();
  spec.program = "buffer slope : f32[num_heads]\nscore = score + slope[h] * (q_idx - kv_idx)\n";
  spec.program += "mask = " + std::exchange(spec.mask_mod, "");
  const std::vector<float> slope(4, 0.01F);
  Bindings bindings;
  bindings.buffers["slope"] = TensorView(slope.data(), DType::kF32, {4});
  problem.want_buffer("slope", {4});
  const Attention attention = Engine(two_threads()).compile(spec).value();
  RunArgs args = problem.args(&bindings);
  ASSERT_TRUE(attention.run(args).has_value());
  Trace first, second;
  args.trace = &first;
  ASSERT_TRUE(run_backward(attention, args, problem.gradients()).has_value());
  EXPECT_EQ(count(first, TraceKind::kCompile), 1) << "the kernel of gradients";
  args.trace = &second;
  const RunStats stats = run_backward(attention, args, problem.gradients()).value();
  EXPECT_EQ(count(second, TraceKind::kCompile), 0);
  EXPECT_GE(count(second, TraceKind::kPlan), 1);
  EXPECT_GE(count(second, TraceKind::kMerge), 1) << "copies of the gradient of slope";
  EXPECT_EQ(scores_of(second), stats.scores_visited);
  Rows queries = rows_of(second, &TraceEvent::q), keys = rows_of(second, &TraceEvent::kv);
  for (int b = 0; b < shape.batch; ++b) {
    for (int h = 0; h < shape.q_heads; ++h) {
      EXPECT_EQ((queries[{TraceKind::kTake, b, h}]), shape.q_len);
      EXPECT_EQ((queries[{TraceKind::kGive, b, h}]), shape.q_len);
    }
    for (int h = 0; h < shape.kv_heads; ++h) {
      EXPECT_EQ((keys[{TraceKind::kPack, b, h}]), shape.kv_len);
      EXPECT_EQ((keys[{TraceKind::kGive, b, h}]), 2 * shape.kv_len) << "keys and values";
    }
  }
  for (const TraceEvent& event : second.events()) {
    EXPECT_TRUE(event.thread == 0 || event.thread == 1);
    EXPECT_LE(event.begin_ns, event.end_ns);
  }
}

TEST(TraceOfABackwardPass, OfTheReference) {
  BackwardProblem problem({.q_len = 3, .kv_len = 4, .head_dim = 8});
  EngineOptions options = two_threads();
  options.backend = Backend::kReference;
  const Attention attention = Engine(options).compile(causal_at_the_end()).value();
  RunArgs args = problem.args();
  ASSERT_TRUE(attention.run(args).has_value());
  Trace trace;
  args.trace = &trace;
  ASSERT_TRUE(run_backward(attention, args, problem.gradients()).has_value());
  EXPECT_EQ(kinds_of(trace), std::vector<TraceKind>{TraceKind::kReference});
}

TEST(TraceOfARun, OfTheReference) {
  Problem problem({.q_len = 3, .kv_len = 4, .head_dim = 8});
  EngineOptions options = two_threads();
  options.backend = Backend::kReference;
  Trace trace;
  RunArgs args = problem.args();
  args.trace = &trace;
  ASSERT_TRUE(Engine(options).compile(causal_at_the_end()).value().run(args).has_value());
  EXPECT_EQ(kinds_of(trace), std::vector<TraceKind>{TraceKind::kReference});
}

}  // namespace
}  // namespace flexjit::test
