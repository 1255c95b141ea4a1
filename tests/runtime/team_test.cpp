// Threads that share a loop: every item once whatever the number of threads and callers, also where the system refuses threads
// and in a forked child.
#include "runtime/team.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <thread>
#include <vector>

#include "runtime/parallel.h"

namespace flexjit::runtime {
namespace {

// How often each item was worked on, by a loop of `threads`.
std::vector<int> counts_of(int threads, std::int64_t items) {
  std::vector<std::atomic<int>> counts(static_cast<std::size_t>(items));
  std::atomic<int> wrong_threads = 0;
  parallel_for(threads, items, [&](std::int64_t item, int thread) noexcept {
    if (thread < 0 || thread >= threads) ++wrong_threads;
    ++counts[static_cast<std::size_t>(item)];
  });
  EXPECT_EQ(wrong_threads, 0);
  return {counts.begin(), counts.end()};
}

bool works(int threads) {
  const std::vector<int> counts = counts_of(threads, 1000);
  return std::accumulate(counts.begin(), counts.end(), 0) == 1000 && *std::ranges::max_element(counts) == 1;
}

TEST(Team, EveryItemOnceForEveryNumberOfThreads) {
  for (const int threads : {1, 2, 3, 8, 40, 2, 1, 8}) EXPECT_TRUE(works(threads)) << threads;
  for (int loop = 0; loop < 2000; ++loop) ASSERT_TRUE(works(2 + loop % 3)) << loop;  // one after the other, closely
  EXPECT_TRUE(counts_of(4, 0).empty());
  EXPECT_EQ(counts_of(4, 1), std::vector<int>{1});
}

// Loops that the caller ends before others come: none of these works on a later loop's items twice or on what is gone.
TEST(Team, WhoComesTooLateDoesNothing) {
  for (int loop = 0; loop < 50'000; ++loop) {
    std::array<std::atomic<int>, 2> counts{};
    parallel_for(2 + loop % 3, 2, [&](std::int64_t item, int) noexcept { ++counts[static_cast<std::size_t>(item)]; });
    ASSERT_EQ(counts[0], 1) << loop;
    ASSERT_EQ(counts[1], 1) << loop;
  }
}

TEST(Team, SleepersAreWoken) {
  for (int loop = 0; loop < 5; ++loop) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_TRUE(works(3));
  }
}

TEST(Team, SeveralCallersAtOnce) {
  std::atomic<int> wrong = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 12; ++caller) {
    callers.emplace_back([&] {
      for (int loop = 0; loop < 100; ++loop) wrong += works(3) ? 0 : 1;
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

// The child has none of its parent's threads.
TEST(Team, AForkedChildHasThreadsOfItsOwn) {
  for (const int threads : {1, 2, 8}) {
    ASSERT_TRUE(works(threads));
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);  // rather than to wait for ever
      std::_Exit(works(threads) && works(8) ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << threads << ": " << status;
    EXPECT_TRUE(works(threads)) << "the parent goes on";
  }
}

// A limit on address space refuses the stacks of threads; root is not held to a number of processes.
TEST(Team, FewerThreadsWhereTheSystemRefusesThem) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need address space themselves";
#endif
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    const rlimit few{std::size_t{96} << 20, std::size_t{96} << 20};
    ::setrlimit(RLIMIT_AS, &few);
    std::_Exit(works(64) ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace flexjit::runtime
