// Threads that compile, run, evict and clear at the same time, in memory and on disk, over a few patterns: every result is the
// bits of a quiet engine. The preset tsan builds and runs this test alone, for data races; compiled kernels and LLVM are not
// instrumented there, everything of libflexjit is.
#include <gtest/gtest.h>
#include <unistd.h>

#include <barrier>
#include <filesystem>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "flexjit/flexjit.h"
#include "flexjit/kernel_files.h"
#include "support/comparison.h"
#include "support/gradients.h"
#include "support/sample.h"

namespace flexjit::test {
namespace {

namespace fs = std::filesystem;

constexpr int kThreads = 8, kPatterns = 6;
const int kSteps = is_sampled() ? 20 : 60;
// Both nests, and lengths that make another derived mask each.
constexpr Shape kShapes[] = {{.q_len = 40, .kv_len = 33, .head_dim = 16, .v_head_dim = 16},
                             {.q_len = 70, .kv_len = 90, .head_dim = 16, .v_head_dim = 16},
                             {.q_len = 1, .kv_len = 33, .head_dim = 16, .v_head_dim = 16}};

AttentionSpec spec_of(int n) {
  AttentionSpec spec;
  spec.head_dim = 16;
  spec.mask_mod = "q_idx + " + std::to_string(n) + " >= kv_idx";
  return spec;
}

class Concurrency : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "flexjit-threads-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    EngineOptions quiet = options();
    quiet.cache_dir.clear();
    Engine engine(quiet);
    for (int n = 0; n < kPatterns; ++n) {
      const Attention attention = engine.compile(spec_of(n)).value();
      for (const Shape& shape : kShapes) {
        Problem problem(shape);
        attention.run(problem.args()).value();
        const OraclePattern naive{.mask = [n](const Position& p) { return p.q_idx + n >= p.kv_idx; }};
        ASSERT_TRUE(is_attention(problem, naive, kNear));
        expected_.push_back(problem.out.bytes);
      }
    }
  }
  void TearDown() override { fs::remove_all(directory_); }

  EngineOptions options() const {
    EngineOptions options;
    options.backend = Backend::kCompiled;
    options.threads = 2;
    options.cache_dir = directory_;
    return options;
  }

  // All shapes of pattern n on a handle that others may be running as well.
  void run_all(const Attention& attention, int n) const {
    for (std::size_t i = 0; i < std::size(kShapes); ++i) {
      Problem problem(kShapes[i]);
      const auto ran = attention.run(problem.args());
      ASSERT_TRUE(ran.has_value()) << render(ran.diagnostics());
      EXPECT_EQ(problem.out.bytes, expected_[static_cast<std::size_t>(n) * std::size(kShapes) + i]);
    }
  }

  void cut_one() const {
    const std::vector<KernelFile> files = list_kernel_files(directory_);
    std::error_code gone;
    if (!files.empty()) fs::resize_file(fs::path(directory_) / files.front().name, 50, gone);
  }

  std::string directory_;
  std::vector<std::vector<unsigned char>> expected_;  // out of each pattern and shape
};

// The same body on every thread, each with random numbers of its own.
void on_threads(const std::function<void(std::mt19937&)>& body) {
  std::barrier start(kThreads);
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random(i);
      start.arrive_and_wait();
      body(random);
    });
  }
}

// The memory holds two kernels of twelve, so that most lookups evict.
TEST_F(Concurrency, CompileRunEvictAndClear) {
  EngineOptions small = options();
  small.cache_bytes = std::size_t{40} << 10;
  Engine engine(small);
  on_threads([&](std::mt19937& random) {
    for (int step = 0; step < kSteps; ++step) {
      const int n = static_cast<int>(random() % kPatterns);
      const Result<Attention> attention = engine.compile(spec_of(n));
      ASSERT_TRUE(attention.has_value()) << render(attention.diagnostics());
      run_all(*attention, n);
      switch (random() % 10) {
        case 0: engine.clear_cache(); break;
        case 1: prune_kernel_files(directory_, 20 << 10); break;
        case 2: remove_damaged_kernel_files(directory_); break;
        case 3: cut_one(); break;
        default: break;
      }
      EXPECT_GE(engine.stats().compiles, 0);
    }
  });
}

// One handle, whose kernel for few query rows and whose masks are made by whoever comes first.
TEST_F(Concurrency, OneHandleRunsEverywhere) {
  Engine engine(options());
  const Attention attention = engine.compile(spec_of(0)).value();
  on_threads([&](std::mt19937&) {
    for (int step = 0; step < kSteps; ++step) run_all(attention, 0);
  });
  EXPECT_EQ(engine.stats().compiles, 2);
}

// Gradients of one handle, each call on threads of its own that wait for one another, with a table to which all of them add.
TEST_F(Concurrency, GradientsOfOneHandle) {
  const Shape shape{.batch = 2, .q_heads = 2, .kv_heads = 1, .q_len = 100, .kv_len = 700, .head_dim = 16, .v_head_dim = 16};
  const std::vector<float> table{0.1F, -0.2F, 0.3F, 0.0F, 0.2F};
  Bindings bindings;
  bindings.buffers["table"] = TensorView(table.data(), DType::kF32, {5});
  AttentionSpec spec;
  spec.head_dim = 16;
  spec.score_mod = "score + table[kv_idx % 5]";
  const auto run = [&](const Attention& attention, BackwardProblem& problem) {
    problem.want_buffer("table", {5});
    attention.run(problem.args(&bindings)).value();
    problem.poison_outputs();
    run_backward(attention, problem.args(&bindings), problem.gradients()).value();
  };
  EngineOptions single = options(), several = options();
  single.threads = 1, several.threads = 4;
  BackwardProblem expected(shape);
  run(Engine(single).compile(spec.declare(bindings)).value(), expected);
  Engine engine(several);
  const Attention attention = engine.compile(spec).value();
  on_threads([&](std::mt19937&) {
    for (int step = 0; step < kSteps / 10; ++step) {
      BackwardProblem problem(shape);
      run(attention, problem);
      EXPECT_TRUE(gradients_identical(problem, expected));
    }
  });
}

// Handles that outlive their engine, dropped while others of the same code run.
TEST_F(Concurrency, EnginesComeAndGo) {
  on_threads([&](std::mt19937& random) {
    for (int step = 0; step < kSteps / 10; ++step) {
      const int n = static_cast<int>(random() % kPatterns);
      run_all(Engine(options()).compile(spec_of(n)).value(), n);
    }
  });
}

}  // namespace
}  // namespace flexjit::test
