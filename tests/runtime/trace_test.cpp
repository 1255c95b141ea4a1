// A traced launch against what it must have done: every row of every head in one tile, every score counted, no thread at two
// things at once; and a Trace that is full or shared by many threads.
#include "flexjit/trace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <thread>

#include "fake_kernel.h"

namespace flexjit {
namespace {

using test::Allowed;
using test::brute_force_mask;
using test::LaunchProblem;

std::vector<TraceEvent> of_kind(const std::vector<TraceEvent>& events, TraceKind kind) {
  std::vector<TraceEvent> found;
  std::ranges::copy_if(events, std::back_inserter(found), [&](const TraceEvent& event) { return event.kind == kind; });
  return found;
}

// A thread ends one event before it begins the next.
void expect_one_thing_at_a_time(const std::vector<TraceEvent>& events) {
  std::map<std::int32_t, std::int64_t> free_from;
  for (const TraceEvent& event : events) {
    EXPECT_LE(event.begin_ns, event.end_ns);
    const auto [last, is_first] = free_from.try_emplace(event.thread, event.end_ns);
    if (is_first) continue;
    EXPECT_GE(event.begin_ns, last->second) << "thread " << event.thread;
    last->second = event.end_ns;
  }
}

const Allowed kCausal = [](int, int, int q, int kv) { return q >= kv; };

TEST(TraceOfALaunch, HoldsEveryTileOnce) {
  const BlockMask mask = brute_force_mask({1, 1, 100, 110, 16, 16}, kCausal);
  for (int threads : {1, 3}) {
    LaunchProblem problem({2, 4, 2, 100, 110, 8, 8}, true);
    problem.state.allowed = kCausal;
    Trace trace;
    const runtime::LaunchOutcome outcome = problem.run(&mask, threads, &trace);
    const std::vector<TraceEvent> events = trace.events();
    expect_one_thing_at_a_time(events);
    std::int64_t scores = 0;
    std::map<std::tuple<int, int, int>, int> rows;
    for (const TraceEvent& tile : of_kind(events, TraceKind::kTile)) {
      EXPECT_TRUE(tile.thread >= 0 && tile.thread < threads);
      EXPECT_EQ(tile.kv.begin, 0);
      EXPECT_GE(tile.kv.end, tile.q.end) << "the last query of a tile sees the key at its own place";
      EXPECT_GE(tile.masked_spans, 1) << "the diagonal";
      scores += tile.scores;
      for (std::int32_t q = tile.q.begin; q < tile.q.end; ++q) ++rows[{tile.b, tile.head, q}];
    }
    EXPECT_EQ(scores, outcome.scores_visited);
    EXPECT_EQ(rows.size(), 2U * 4 * 100);
    for (const auto& [row, times] : rows) EXPECT_EQ(times, 1);
  }
}

TEST(TraceOfALaunch, SaysWhatIsPacked) {
  LaunchProblem problem({2, 4, 2, 30, 1200, 8, 8}, true);
  Trace trace;
  problem.run(nullptr, 2, &trace);
  std::map<std::pair<int, int>, std::int64_t> keys;
  for (const TraceEvent& pack : of_kind(trace.events(), TraceKind::kPack))
    keys[{pack.b, pack.head}] += pack.kv.end - pack.kv.begin;
  ASSERT_EQ(keys.size(), 2U * 2);
  for (const auto& [pair, count] : keys) EXPECT_EQ(count, 1200);
  for (const TraceEvent& tile : of_kind(trace.events(), TraceKind::kTile)) {
    EXPECT_EQ(tile.full_spans, 1);
    EXPECT_EQ(tile.masked_spans, 0);
  }
  EXPECT_GE(of_kind(trace.events(), TraceKind::kPlan).size(), 1U);
}

TEST(TraceOfALaunch, ChangesNothing) {
  LaunchProblem plain({2, 4, 2, 30, 100, 8, 8}, false), traced({2, 4, 2, 30, 100, 8, 8}, false);
  Trace trace(0);
  plain.run(nullptr, 2);
  traced.run(nullptr, 2, &trace);
  EXPECT_TRUE(test::outputs_identical(traced, plain));
  EXPECT_TRUE(trace.events().empty());
  EXPECT_GT(trace.dropped(), 0);
}

TEST(Trace, KeepsTheFirstAndCountsTheRest) {
  Trace trace(3);
  for (int i = 0; i < 5; ++i) trace.add({.begin_ns = 10 - i, .end_ns = 20});
  const std::vector<TraceEvent> events = trace.events();
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].begin_ns, 8);
  EXPECT_EQ(events[2].begin_ns, 10);
  EXPECT_EQ(trace.dropped(), 2);
}

TEST(Trace, AnEnclosingEventComesFirst) {
  Trace trace;
  trace.add({.kind = TraceKind::kTile, .begin_ns = 5, .end_ns = 6});
  trace.add({.kind = TraceKind::kReference, .begin_ns = 5, .end_ns = 9});
  EXPECT_EQ(trace.events().front().kind, TraceKind::kReference);
}

TEST(Trace, ManyThreadsAdd) {
  constexpr int kThreads = 8, kEach = 2000;
  Trace trace(kThreads * kEach);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&trace, t] {
        for (int i = 0; i < kEach; ++i) trace.add({.thread = t, .begin_ns = i, .end_ns = i, .scores = t * kEach + i});
      });
    }
  }
  std::vector<bool> seen(kThreads * kEach);
  for (const TraceEvent& event : trace.events()) seen[static_cast<std::size_t>(event.scores)] = true;
  EXPECT_EQ(std::ranges::count(seen, true), kThreads * kEach);
  EXPECT_EQ(trace.dropped(), 0);
}

}  // namespace
}  // namespace flexjit
