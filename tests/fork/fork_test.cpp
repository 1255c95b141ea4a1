// Forks while other threads of the process compile, run and make block masks: the child, which has none of them, works. And a
// fork inside a parallel region of the program's own.
#include <gtest/gtest.h>
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "flexjit/flexjit.h"
#include "support/comparison.h"

namespace flexjit::test {
namespace {

constexpr int kThreads[] = {1, 2, 8};
constexpr Shape kPrefill{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 90, .kv_len = 130, .head_dim = 8};
constexpr Shape kDecode{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 1, .kv_len = 1300, .head_dim = 8};

Engine engine_of(int threads) {
  EngineOptions options;
  options.backend = Backend::kCompiled;
  options.threads = threads;
  options.cache_dir.clear();
  return Engine(options);
}

AttentionSpec spec_of(int n) {
  AttentionSpec spec;
  spec.head_dim = spec.v_head_dim = 8;
  spec.mask_mod = "kv_idx <= q_idx + " + std::to_string(n);
  return spec;
}

bool is_right(const Attention& attention, const Shape& shape, int n) {
  Problem problem(shape);
  if (!attention.run(problem.args())) return false;
  return is_attention(problem, {.mask = [n](const Position& p) { return p.kv_idx <= p.q_idx + n; }}, kNear);
}

// 0, or the number of the check that failed.
int work(Engine& engine, int n) {
  const Result<Attention> attention = engine.compile(spec_of(n));
  if (!attention) return 1;
  if (!is_right(*attention, kPrefill, n)) return 2;
  if (!is_right(*attention, kDecode, n)) return 3;
  const auto mask = attention->create_block_mask({.q_len = 900, .kv_len = 900, .q_block = 16, .kv_block = 16});
  return mask ? 0 : 4;
}

// The exit status of a child that runs `body`; -1 if it had to be ended.
int status_of_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Fork, WhileOtherThreadsCompileAndRun) {
  Engine engine = engine_of(2);
  ASSERT_EQ(work(engine, 0), 0);
  std::atomic<bool> done = false;
  std::atomic<int> failed = 0;
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 3; ++caller) {
    callers.emplace_back([&, caller] {
      for (int n = 100 * caller; !done; ++n) {
        if (work(engine, n) != 0) ++failed;
        if (n % 4 == 3) engine.clear_cache();
      }
    });
  }
  for (int i = 0; i < 12; ++i) {
    // The engine of the parent, whose caches other threads were in, and one of the child's own.
    EXPECT_EQ(status_of_child([&] { return work(engine, 1 + i % 3); }), 0) << "fork " << i;
    EXPECT_EQ(status_of_child([&] {
                Engine own = engine_of(kThreads[i % 3]);
                return work(own, 500 + i);
              }),
              0)
        << "fork " << i;
  }
  done = true;
  callers.clear();
  EXPECT_EQ(failed, 0);
}

TEST(Fork, ThreadsOfAChildAreItsOwn) {
  for (const int threads : kThreads) {
    Engine engine = engine_of(threads);
    ASSERT_EQ(work(engine, 5), 0);
    EXPECT_EQ(status_of_child([&] {
                Trace trace(1 << 12);
                const Attention attention = engine.compile(spec_of(5)).value();
                Problem problem({.q_heads = 8, .q_len = 600, .kv_len = 600, .head_dim = 8});
                RunArgs args = problem.args();
                args.trace = &trace;
                if (!attention.run(args)) return 1;
                int most = 0;
                for (const TraceEvent& event : trace.events()) most = std::max(most, event.thread);
                return most < threads ? 0 : 2;
              }),
              0);
    EXPECT_EQ(work(engine, 6), 0);  // and the parent has threads again
  }
}

TEST(Fork, InsideAParallelRegionOfTheProgram) {
  Engine engine = engine_of(2);
  ASSERT_EQ(work(engine, 7), 0);
  int status = -2;
#pragma omp parallel num_threads(2)
  if (omp_get_thread_num() == 0) status = status_of_child([&] { return work(engine, 8); });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace flexjit::test
