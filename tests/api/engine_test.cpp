// The engine's memory: what is compiled, what is found again, and what never causes a compilation.
#include "flexjit/engine.h"

#include <gtest/gtest.h>

#include <barrier>
#include <cstdlib>
#include <thread>

#include "flexjit/flexjit.h"
#include "support/checklist.h"
#include "support/comparison.h"

namespace flexjit::test {
namespace {

EngineOptions compiled() {
  EngineOptions options;
  options.backend = Backend::kCompiled;
  return options;
}

AttentionSpec causal(std::int32_t head_dim = 16) {
  AttentionSpec spec;
  spec.mask_mod = "kv_idx <= q_idx";
  spec.head_dim = head_dim;
  return spec;
}

TEST(Engine, SecondCompileIsFromMemory) {
  Engine engine(compiled());
  const Attention first = engine.compile(causal()).value();
  const Attention second = engine.compile(causal()).value();
  EXPECT_EQ(first.kernel_source(), KernelSource::kCompiled);
  EXPECT_GT(first.compile_ms(), 0.0);
  EXPECT_EQ(second.kernel_source(), KernelSource::kMemory);
  EXPECT_EQ(second.compile_ms(), 0.0);
  const EngineStats stats = engine.stats();
  EXPECT_EQ(stats.compiles, 1);
  EXPECT_EQ(stats.memory_hits, 1);
  EXPECT_EQ(stats.cached_kernels, 1U);
  EXPECT_GT(stats.cached_bytes, 0U);
}

TEST(Engine, AnotherSpellingIsTheSameKernel) {
  Engine engine(compiled());
  (void)engine.compile(causal()).value();
  AttentionSpec spelled = causal();
  spelled.mask_mod = "let d = q - kv; 0 + kv_idx <= q_idx";
  EXPECT_EQ(engine.compile(spelled).value().kernel_source(), KernelSource::kMemory);
  AttentionSpec scaled = causal();
  scaled.scale = 0.5F;
  EXPECT_EQ(engine.compile(scaled).value().kernel_source(), KernelSource::kMemory);
}

TEST(Engine, EveryFieldOfASpecCounts) {
  Engine engine(compiled());
  AttentionSpec base = causal();
  base.params = {{.name = "w", .default_value = std::int32_t{1}}};
  base.buffers = {{.name = "t"}};
  std::vector<AttentionSpec> specs(7, base);
  specs[1].mask_mod = "kv_idx <= q_idx + w";
  specs[2].score_mod = "score * t[h]";
  specs[3].head_dim = 17;
  specs[4].v_head_dim = 3;
  specs[5].scale = 2.0F;
  specs[6].params[0].default_value = std::int32_t{2};
  // Twice: what the second round finds must be what the first round put there.
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < specs.size(); ++i) {
      const Attention attention = engine.compile(specs[i]).value();
      EXPECT_EQ(attention.params()[0].default_value, specs[i].params[0].default_value) << i;
    }
  }
  EXPECT_EQ(engine.stats().compiles, 5) << "scale and a default value are not in the kernel";
}

TEST(Engine, LengthsHeadsAndParamsCompileNothing) {
  Engine engine(compiled());
  AttentionSpec spec = causal(8);
  spec.mask_mod = "q_idx - kv_idx < window";
  spec.params = {{.name = "window"}};
  const Attention attention = engine.compile(spec).value();
  for (std::int32_t n = 1; n < 20; n += 6) {
    Problem problem({.batch = 1 + n % 2, .q_heads = 2 * n, .kv_heads = n, .q_len = 3 * n, .kv_len = 5 * n, .head_dim = 8});
    Bindings bindings;
    bindings.params["window"] = n;
    RunArgs args = problem.args();
    args.bindings = &bindings;
    attention.run(args).value();
    const OraclePattern pattern{.mask = [n](const Position& p) { return p.q_idx - p.kv_idx < n; }};
    EXPECT_TRUE(is_attention(problem, pattern, kNear)) << n;
  }
  EXPECT_EQ(engine.stats().compiles, 2);  // the second: the decode kernel, at the first call with few queries
}

TEST(Engine, EightThreadsCompileOnePatternOnce) {
  Engine engine(compiled());
  std::barrier start(8);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      start.arrive_and_wait();
      EXPECT_TRUE(engine.compile(causal(24)).has_value());
    });
  }
  threads.clear();
  EXPECT_EQ(engine.stats().compiles, 1);
  EXPECT_EQ(engine.stats().memory_hits, 7);
}

TEST(Engine, EvictedHandlesStillRun) {
  EngineOptions options = compiled();
  options.cache_bytes = 0;
  Engine engine(options);
  Problem problem({.q_len = 20, .kv_len = 20, .head_dim = 16, .v_head_dim = 16});
  const Attention attention = engine.compile(causal()).value();
  EXPECT_EQ(engine.stats().cached_kernels, 0U);
  attention.run(problem.args()).value();
  EXPECT_TRUE(is_attention(problem, {.mask = [](const Position& p) { return p.kv_idx <= p.q_idx; }}, kNear));
}

TEST(Engine, ClearCacheForgets) {
  Engine engine(compiled());
  (void)engine.compile(causal()).value();
  engine.clear_cache();
  EXPECT_EQ(engine.stats().cached_kernels, 0U);
  EXPECT_EQ(engine.compile(causal()).value().kernel_source(), KernelSource::kCompiled);
}

TEST(Engine, MistakesAreReportedEachTime) {
  covers("F26");
  Engine engine(compiled());
  AttentionSpec wrong = causal();
  wrong.mask_mod = "kv_ix <= q_idx";
  wrong.head_dim = 0;
  for (int i = 0; i < 2; ++i) {
    const Result<Attention> result = engine.compile(wrong);
    ASSERT_FALSE(result.has_value());
    ASSERT_EQ(result.diagnostics().size(), 2U);
    EXPECT_EQ(result.diagnostics()[0].kind, "head-dim");
    EXPECT_EQ(result.diagnostics()[1].kind, "unknown-name");
  }
  EXPECT_EQ(engine.stats().compiles, 0);
  EXPECT_EQ(engine.stats().cached_kernels, 0U);
}

TEST(Engine, WarningsStopNothing) {
  AttentionSpec spec;
  spec.program = "let mask_mod = q_idx >= kv_idx\nscore = score + 46341 * 46341\n";
  Engine engine(compiled());
  const Attention attention = engine.compile(spec).value();
  ASSERT_EQ(attention.warnings().size(), 2U);
  EXPECT_EQ(attention.warnings()[0].kind, "unused-name");
  EXPECT_NE(attention.warnings()[0].message.find("a mask is set by `mask = ...`"), std::string::npos);
  EXPECT_EQ(attention.warnings()[1].kind, "constant-overflow");
  EXPECT_EQ(render(check(spec)), render(attention.warnings()));
  // The flags are texts, too.
  spec.program = "score = score";
  spec.causal = spec.alibi = spec.key_lengths = spec.key_mask = true;
  spec.window = Window{3, 4};
  spec.softcap = 20.0F;
  EXPECT_EQ(render(check(spec)), "");
}

TEST(Engine, CheckFindsWhatCompileFinds) {
  AttentionSpec wrong = causal();
  wrong.mask_mod = "kv_ix <= q_idx";
  EXPECT_EQ(render(check(wrong)), render(Engine(compiled()).compile(wrong).diagnostics()));
}

TEST(Engine, ReferenceBackendNeedsNoCompiler) {
  EngineOptions options;
  options.backend = Backend::kReference;
  options.compiler_path = "/nowhere.so";
  Engine engine(options);
  const Attention attention = engine.compile(causal()).value();
  EXPECT_EQ(attention.kernel_source(), KernelSource::kReference);
  EXPECT_EQ(engine.stats().compiles, 0);
}

TEST(Engine, EnvironmentVariableChoosesTheReference) {
  const auto backend_with = [](const char* value) {
    ::setenv("FLEXJIT_REFERENCE", value, 1);
    const Backend backend = EngineOptions{}.backend;
    ::unsetenv("FLEXJIT_REFERENCE");
    return backend;
  };
  EXPECT_EQ(backend_with("1"), Backend::kReference);
  EXPECT_EQ(backend_with("yes"), Backend::kReference);
  EXPECT_EQ(backend_with("0"), Backend::kCompiled);
  EXPECT_EQ(backend_with(""), Backend::kCompiled);
}

TEST(Engine, MovesWithItsCache) {
  Engine first(compiled());
  (void)first.compile(causal()).value();
  Engine second = std::move(first);
  EXPECT_EQ(second.compile(causal()).value().kernel_source(), KernelSource::kMemory);
}

TEST(AttentionSpec, DeclareAddsWhatIsMissing) {
  const std::vector<double> data(6);
  Bindings bindings;
  bindings.buffers["t"] = TensorView(data.data(), DType::kF64, {2, 3});
  bindings.params["x"] = 1.5F;
  bindings.params["n"] = 7;
  AttentionSpec spec;
  spec.params = {{.name = "n", .default_value = std::int32_t{3}}};
  spec.declare(bindings).declare(bindings);
  ASSERT_EQ(spec.buffers.size(), 1U);
  EXPECT_EQ(spec.buffers[0].dtype, DType::kF64);
  EXPECT_EQ(spec.buffers[0].rank, 2);
  ASSERT_EQ(spec.params.size(), 2U);
  EXPECT_EQ(spec.params[0].default_value, Scalar{3}) << "a declared name keeps its declaration";
  EXPECT_EQ(spec.params[1].default_value, Scalar{1.5F});
}

TEST(AttentionSpec, ProgramsDeclareTheirOwnNames) {
  Bindings bindings;
  bindings.params["window"] = 4;
  AttentionSpec spec;
  spec.program = "param window : int\nmask = kv_idx < window\n";
  EXPECT_TRUE(spec.declare(bindings).params.empty());
}

}  // namespace
}  // namespace flexjit::test
