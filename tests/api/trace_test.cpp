// Traces of compilations and of calls on real kernels.
#include <gtest/gtest.h>

#include <algorithm>

#include "flexjit/flexjit.h"
#include "support/problem.h"

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
