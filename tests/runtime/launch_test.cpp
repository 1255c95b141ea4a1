// The launcher against dense attention: shapes, groups, masks, threads, waves, faults, and what it packs.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <thread>

#include "fake_kernel.h"

namespace flexjit {
namespace {

using test::Allowed;
using test::brute_force_mask;
using test::LaunchProblem;
using test::outputs_identical;
using test::Shape;

void expect_exact(const LaunchProblem& problem) {
  EXPECT_EQ(problem.state.broken_promises, 0);
  EXPECT_TRUE(problem.is_exact());
}

// One thread is compared with dense attention, more threads bit for bit with one.
void check_every_thread_count(const Shape& dims, bool packs_v, const Allowed& allowed, const BlockMask* mask) {
  LaunchProblem first(dims, packs_v);
  first.state.allowed = allowed;
  const runtime::LaunchOutcome outcome = first.run(mask, 1);
  EXPECT_FALSE(outcome.fault.has_value());
  expect_exact(first);
  for (int threads = 2; threads <= 4; ++threads) {
    LaunchProblem other(dims, packs_v);
    other.state.allowed = allowed;
    EXPECT_EQ(other.run(mask, threads).scores_visited, outcome.scores_visited);
    EXPECT_EQ(other.state.broken_promises, 0);
    EXPECT_TRUE(outputs_identical(other, first)) << threads << " threads";
  }
}

const std::vector<std::pair<int, int>> kLengths = {{1, 1}, {17, 33}, {5, 0}, {0, 5}, {0, 0}, {130, 197}, {1, 700}, {48, 64}};

TEST(Launch, WithoutMaskEqualsDenseAttention) {
  for (auto [q_len, kv_len] : kLengths) {
    SCOPED_TRACE(std::to_string(q_len) + " x " + std::to_string(kv_len));
    check_every_thread_count({2, 2, 2, q_len, kv_len, 8, 8}, false, [](int, int, int, int) { return true; }, nullptr);
  }
}

TEST(Launch, WithoutMaskVisitsEveryPairOnce) {
  LaunchProblem problem({2, 4, 2, 30, 100, 8, 8}, false);
  EXPECT_EQ(problem.run(nullptr, 3).scores_visited, 2 * 4 * 30 * 100);
  EXPECT_EQ(problem.state.attended_items, 2 * 4 * 3);
}

TEST(Launch, GroupsShareKeysAndValues) {
  for (int kv_heads : {1, 2, 3, 6}) {
    for (bool packs_v : {false, true}) {
      check_every_thread_count({2, 6, kv_heads, 25, 90, 8, 11}, packs_v, [](int, int, int, int) { return true; }, nullptr);
    }
  }
}

TEST(Launch, CausalMaskOfOnePlaneServesAllHeads) {
  const Allowed causal = [](int, int, int q, int kv) { return q >= kv; };
  for (auto [q_len, kv_len] : kLengths) {
    for (int block : {16, 24, 64}) {
      const BlockMask mask = brute_force_mask({1, 1, q_len, kv_len, block, block}, causal);
      check_every_thread_count({2, 4, 2, q_len, kv_len, 8, 8}, true, causal, &mask);
    }
  }
}

TEST(Launch, PlanesThatDifferByBatchAndHead) {
  const Allowed window = [](int b, int h, int q, int kv) { return q >= kv && q - kv < 5 + 20 * h && kv % (b + 1) == 0; };
  for (bool packs_v : {false, true}) {
    const BlockMask mask = brute_force_mask({2, 4, 100, 110, 20, 40}, window);
    check_every_thread_count({2, 4, 2, 100, 110, 8, 8}, packs_v, window, &mask);
  }
  const Allowed by_head = [](int, int h, int q, int kv) { return kv >= q + 10 * h; };
  const BlockMask heads = brute_force_mask({1, 4, 100, 110, 32, 16}, by_head);
  check_every_thread_count({3, 4, 4, 100, 110, 8, 8}, false, by_head, &heads);
}

TEST(Launch, NothingAllowedWritesZerosAndMinusInfinity) {
  const Allowed nothing = [](int, int, int, int) { return false; };
  const BlockMask mask = brute_force_mask({1, 1, 40, 50, 16, 16}, nothing);
  check_every_thread_count({2, 2, 1, 40, 50, 8, 8}, true, nothing, &mask);
  LaunchProblem problem({2, 2, 1, 40, 50, 8, 8}, true);
  EXPECT_EQ(problem.run(&mask, 2).scores_visited, 0);
  EXPECT_EQ(problem.state.packed_columns, 0);
}

TEST(Launch, NoHeadsOrBatchIsNoWork) {
  EXPECT_EQ(LaunchProblem({0, 2, 2, 4, 4, 8, 8}, false).run(nullptr, 2).scores_visited, 0);
}

TEST(Launch, PackedMemoryIsBoundedByWaves) {
  // 20,000 keys x 64 x 4 bytes: three pairs fit 16 MiB, so the twelve pairs share three places.
  LaunchProblem problem({3, 4, 4, 2, 20000, 64, 8}, false);
  problem.run(nullptr, 2);
  EXPECT_EQ(problem.state.panels.size(), 3U);
  expect_exact(problem);
}

// More tiles of one pair than a wave may have.
TEST(Launch, APairOfVeryManyHeadsIsSeveralWaves) {
  LaunchProblem problem({1, 150000, 1, 1, 20, 8, 8}, true);
  problem.run(nullptr, 2);
  EXPECT_EQ(problem.state.attended_items, 150000);
  EXPECT_EQ(problem.state.packed_columns, 3 * 20) << "once a wave";
  expect_exact(problem);
}

TEST(Launch, PackedMemoryBeginsWithWhatIsVisited) {
  const Allowed recent = [](int, int, int, int kv) { return kv >= 39990; };
  const BlockMask mask = brute_force_mask({1, 1, 3, 40000, 128, 64}, recent);
  for (const bool packs_v : {false, true}) {
    LaunchProblem problem({2, 2, 2, 3, 40000, 8, 8}, packs_v);
    problem.state.allowed = recent;
    problem.run(&mask, 1);
    expect_exact(problem);
  }
}

TEST(Launch, OnlyVisitedKeysArePacked) {
  const Allowed recent = [](int, int, int, int kv) { return kv >= 4990; };
  const BlockMask mask = brute_force_mask({1, 1, 1, 5000, 128, 128}, recent);
  LaunchProblem problem({2, 4, 2, 1, 5000, 8, 8}, true);
  problem.state.allowed = recent;
  problem.run(&mask, 2);
  expect_exact(problem);
  EXPECT_EQ(problem.state.packed_columns, 2 * 2 * (5000 - 4992 + 128)) << "the last two mask blocks of each pair";
}

TEST(Launch, ReportsTheFaultOfTheFirstItem) {
  for (int threads = 1; threads <= 4; ++threads) {
    LaunchProblem problem({2, 3, 3, 100, 40, 8, 8}, false);
    problem.state.faulty_items = {50, 13, 31};
    const auto outcome = problem.run(nullptr, threads);
    ASSERT_TRUE(outcome.fault.has_value());
    EXPECT_EQ(outcome.fault->index, 13);
    EXPECT_EQ(outcome.fault->site, 7U);
    EXPECT_EQ(outcome.fault->dimension, 2);
    problem.state.faulty_items.clear();
    EXPECT_FALSE(problem.run(nullptr, threads).fault.has_value()) << "a fault must not survive its launch";
    expect_exact(problem);
  }
}

TEST(Launch, SeveralLaunchesAtOnce) {
  const Shape dims{2, 4, 2, 90, 120, 8, 8};
  LaunchProblem expected(dims, true);
  expected.run(nullptr, 1);
  std::vector<std::unique_ptr<LaunchProblem>> problems;
  for (int i = 0; i < 6; ++i) problems.push_back(std::make_unique<LaunchProblem>(dims, true));
  {
    std::vector<std::jthread> callers;
    for (auto& problem : problems) {
      callers.emplace_back([&problem] {
        for (int i = 0; i < 5; ++i) problem->run(nullptr, 2);
      });
    }
  }
  for (const auto& problem : problems) EXPECT_TRUE(outputs_identical(*problem, expected));
}

}  // namespace
}  // namespace flexjit
