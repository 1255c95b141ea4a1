// A machine without libflexjit-compiler: cached patterns run, others are an error that says what was tried, or the reference
// where the engine was told so.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "flexjit/flexjit.h"
#include "support/comparison.h"

namespace flexjit::test {
namespace {

namespace fs = std::filesystem;

constexpr Shape kMany{.q_len = 40, .kv_len = 33, .head_dim = 16, .v_head_dim = 16};
constexpr Shape kFew{.q_len = 1, .kv_len = 33, .head_dim = 16, .v_head_dim = 16};

AttentionSpec banded(int width) {
  AttentionSpec spec;
  spec.head_dim = 16;
  spec.mask_mod = "abs(q_idx - kv_idx) <= " + std::to_string(width);
  return spec;
}

OraclePattern naive_banded(int width) {
  return {.mask = [width](const Position& p) { return std::abs(p.q_idx - p.kv_idx) <= width; }};
}

class WithoutCompiler : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "flexjit-without-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { fs::remove_all(directory_); }

  EngineOptions options(Backend backend) const {
    EngineOptions options;
    options.backend = backend;
    options.cache_dir = directory_;
    return options;
  }
  Engine engine_without(Backend backend) const {
    EngineOptions without = options(backend);
    without.compiler_path = "/nowhere/libflexjit-compiler.so";
    return Engine(without);
  }
  // What a process with a compiler leaves of a pattern that ran at these shapes.
  void leave(const AttentionSpec& spec, std::initializer_list<Shape> shapes) const {
    Engine engine(options(Backend::kCompiled));
    const Attention attention = engine.compile(spec).value();
    for (const Shape& shape : shapes) attention.run(Problem(shape).args()).value();
  }

  std::string directory_;
};

void expect_right(const Attention& attention, const Shape& shape, const OraclePattern& pattern) {
  Problem problem(shape);
  const auto ran = attention.run(problem.args());
  ASSERT_TRUE(ran.has_value()) << render(ran.diagnostics());
  EXPECT_TRUE(is_attention(problem, pattern, kNear));
}

TEST_F(WithoutCompiler, CachedPatternsRun) {
  leave(banded(3), {kMany, kFew});
  Engine engine = engine_without(Backend::kCompiled);
  const Attention attention = engine.compile(banded(3)).value();
  EXPECT_EQ(attention.kernel_source(), KernelSource::kDisk);
  expect_right(attention, kMany, naive_banded(3));
  expect_right(attention, kFew, naive_banded(3));
  EXPECT_EQ(engine.stats().compiles, 0);
  EXPECT_EQ(engine.stats().disk_hits, 2);
}

TEST_F(WithoutCompiler, AMissSaysWhatWasTriedAndWhatToDo) {
  leave(banded(3), {kMany});
  Engine engine = engine_without(Backend::kCompiled);
  const Result<Attention> missed = engine.compile(banded(4));
  ASSERT_FALSE(missed.has_value());
  EXPECT_EQ(render(missed.diagnostics()),
            "compile: error: cannot open the compiler library:\n"
            "  /nowhere/libflexjit-compiler.so: cannot open shared object file: No such file or directory\n"
            "  " +
                directory_ +
                ": no kernel of this pattern\n"
                "install flexjit-compiler beside libflexjit, name its path in EngineOptions::compiler_path, or allow "
                "Backend::kCompiledOrReference\n");
  // The kernel for few query rows is looked for at the first such call.
  const Attention cached = engine.compile(banded(3)).value();
  Problem few(kFew);
  const Result<RunStats> ran = cached.run(few.args());
  ASSERT_FALSE(ran.has_value());
  EXPECT_EQ(ran.diagnostics().front().kind, "no-compiler");
  EXPECT_TRUE(std::isnan(few.out[0]));
  expect_right(cached, kMany, naive_banded(3));
  EXPECT_EQ(engine.stats().compiles, 0);
}

TEST_F(WithoutCompiler, AMissSaysWhyTheDirectoryIsNotUsed) {
  fs::permissions(directory_, fs::perms::all);
  const Result<Attention> missed = engine_without(Backend::kCompiled).compile(banded(3));
  ASSERT_FALSE(missed.has_value());
  EXPECT_NE(missed.diagnostics().front().message.find(directory_ + ": not used, others may write to it"), std::string::npos)
      << missed.diagnostics().front().message;
}

TEST_F(WithoutCompiler, TheReferenceWhereItIsAllowed) {
  leave(banded(3), {kMany});
  Engine engine = engine_without(Backend::kCompiledOrReference);
  const Attention missed = engine.compile(banded(4)).value();
  EXPECT_EQ(missed.kernel_source(), KernelSource::kReference);
  expect_right(missed, kMany, naive_banded(4));
  expect_right(missed, kFew, naive_banded(4));
  const Attention cached = engine.compile(banded(3)).value();
  EXPECT_EQ(cached.kernel_source(), KernelSource::kDisk);
  expect_right(cached, kMany, naive_banded(3));
  expect_right(cached, kFew, naive_banded(3));
  // Once its kernel is there, a pattern is no longer the reference's.
  leave(banded(4), {kMany});
  EXPECT_EQ(engine.compile(banded(4)).value().kernel_source(), KernelSource::kDisk);
}

TEST_F(WithoutCompiler, OtherMistakesStayMistakes) {
  Engine engine = engine_without(Backend::kCompiledOrReference);
  AttentionSpec wrong = banded(3);
  wrong.mask_mod = "kv_ix <= q_idx";
  const Result<Attention> compiled = engine.compile(wrong);
  ASSERT_FALSE(compiled.has_value());
  EXPECT_EQ(compiled.diagnostics().front().kind, "unknown-name");
}

TEST_F(WithoutCompiler, WithACompilerItIsUsed) {
  Engine engine(options(Backend::kCompiledOrReference));
  EXPECT_EQ(engine.compile(banded(3)).value().kernel_source(), KernelSource::kCompiled);
}

}  // namespace
}  // namespace flexjit::test
