// The kernel cache with an injected compiler: hits, eviction, single flight, failures. The "kernels" return a number.
#include "cache/kernel_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "machine_code.h"
#include "support/check.h"

namespace flexjit::cache {
namespace {

using Answer = int (*)();

SharedKey key_of(int head_dim) {
  ir::ProgramBuilder builder;
  plan::KernelKey key = plan::plan_kernel(
      {.program = std::move(builder).finish({}, {}), .head_dim = head_dim, .v_head_dim = head_dim}, plan::host_target());
  return std::make_shared<const HashedKey>(std::move(key));
}

// Code that returns the key's head_dim.
Result<plan::CodeImage> compile_head_dim(const plan::KernelKey& key) {
  plan::CodeImage image;
  image.bytes = test::code_that_returns(static_cast<std::uint8_t>(key.head_dim));
  image.key_text = plan::canonical_text(key);
  image.compile_ms = 1.5;
  return image;
}

int answer_of(const LoadedKernel& kernel) { return kernel.code.function<Answer>(0)(); }

constexpr std::size_t kRoomy = std::size_t{1} << 30;
const std::size_t kOneKernel = CodeMemory(test::code_that_returns(0)).bytes();

TEST(KernelCache, CompilesOnceAndThenHits) {
  KernelCache cache(kRoomy);
  const auto first = cache.find_or_compile(key_of(8), compile_head_dim);
  const auto second = cache.find_or_compile(key_of(8), compile_head_dim);
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_FALSE(first->hit);
  EXPECT_TRUE(second->hit);
  EXPECT_EQ(first->kernel, second->kernel);
  EXPECT_EQ(first->kernel->compile_ms, 1.5);
  EXPECT_EQ(answer_of(*second->kernel), 8);
  const CacheStats stats = cache.stats();
  EXPECT_EQ(stats.hits, 1);
  EXPECT_EQ(stats.kernels, 1U);
  EXPECT_EQ(stats.bytes, kOneKernel);
}

TEST(KernelCache, LoadsEntryPointsAtTheirOffsets) {
  const SharedKey key = key_of(8);
  Result<plan::CodeImage> image = compile_head_dim(key->key);
  image->bytes.resize(256);
  image->entries[plan::Entry::kAttend] = 64;
  image->entries[plan::Entry::kPack] = 128;
  const SharedKernel loaded = load_image(key->key, *image);
  EXPECT_EQ(loaded->kernel.attend, loaded->code.function<plan::AttendFn>(64));
  EXPECT_EQ(loaded->kernel.pack, loaded->code.function<plan::PackFn>(128));
  EXPECT_EQ(loaded->kernel.layout.head_dim, 8);
}

TEST(KernelCache, TellsEveryFieldOfTheKeyApart) {
  std::vector<plan::KernelKey> keys(8, key_of(8)->key);
  ir::ProgramBuilder builder;
  const ir::Id mask = builder.make(ir::Op::kLe, {builder.variable(ir::Op::kKvIdx), builder.variable(ir::Op::kQIdx)});
  keys[1].program = std::move(builder).finish({}, mask);
  keys[2].head_dim = 9;
  keys[3].v_head_dim = 9;
  keys[4].tiling.kv_tile *= 2;
  keys[5].target.isa = keys[0].target.isa == plan::Isa::kX86_64 ? plan::Isa::kX86_64_V3 : plan::Isa::kX86_64;
  keys[6].target.tuning = "another";
  keys[7].llvm_version = "0";
  KernelCache cache(kRoomy);
  for (const plan::KernelKey& key : keys) {
    const auto found = cache.find_or_compile(std::make_shared<const HashedKey>(key), compile_head_dim);
    ASSERT_TRUE(found.has_value());
    EXPECT_FALSE(found->hit) << plan::canonical_text(key);
  }
  EXPECT_EQ(cache.stats().kernels, keys.size());
}

TEST(KernelCache, EvictsTheLeastRecentAndKeepsHandlesValid) {
  KernelCache cache(2 * kOneKernel);
  const SharedKernel held = cache.find_or_compile(key_of(1), compile_head_dim).value().kernel;
  (void)cache.find_or_compile(key_of(2), compile_head_dim).value();
  (void)cache.find_or_compile(key_of(3), compile_head_dim).value();
  EXPECT_EQ(cache.stats().kernels, 2U);
  EXPECT_EQ(held.use_count(), 1) << "the cache still holds the oldest kernel";
  EXPECT_EQ(answer_of(*held), 1);
  EXPECT_TRUE(cache.find_or_compile(key_of(3), compile_head_dim).value().hit);
  EXPECT_TRUE(cache.find_or_compile(key_of(2), compile_head_dim).value().hit);
  EXPECT_FALSE(cache.find_or_compile(key_of(1), compile_head_dim).value().hit);
}

TEST(KernelCache, WorksWithoutRoom) {
  KernelCache cache(0);
  for (int i = 0; i < 2; ++i) {
    const auto found = cache.find_or_compile(key_of(5), compile_head_dim);
    ASSERT_TRUE(found.has_value());
    EXPECT_FALSE(found->hit);
    EXPECT_EQ(answer_of(*found->kernel), 5);
  }
  EXPECT_EQ(cache.stats().bytes, 0U);
}

TEST(KernelCache, ClearForgetsButHandlesStay) {
  KernelCache cache(kRoomy);
  const SharedKernel held = cache.find_or_compile(key_of(6), compile_head_dim).value().kernel;
  cache.clear();
  EXPECT_EQ(cache.stats().kernels, 0U);
  EXPECT_EQ(answer_of(*held), 6);
  EXPECT_FALSE(cache.find_or_compile(key_of(6), compile_head_dim).value().hit);
}

// Asks for one new key from eight threads at the same moment; the compilation lasts long enough for all to meet it.
template <typename Ask>
auto ask_from_eight(const Ask& ask) {
  constexpr std::size_t kThreads = 8;
  std::barrier start(kThreads);
  std::vector<decltype(ask())> answers(kThreads);
  std::vector<std::jthread> threads;
  for (auto& answer : answers) {
    threads.emplace_back([&] {
      start.arrive_and_wait();
      answer = ask();
    });
  }
  threads.clear();  // joins
  return answers;
}

void linger() { std::this_thread::sleep_for(std::chrono::milliseconds(30)); }

TEST(KernelCache, EightThreadsCompileOneKeyOnce) {
  KernelCache cache(kRoomy);
  std::atomic<int> compilations = 0;
  const KernelCache::Compile compile = [&](const plan::KernelKey& key) {
    ++compilations;
    linger();
    return compile_head_dim(key);
  };
  const auto kernels = ask_from_eight([&] { return cache.find_or_compile(key_of(9), compile).value().kernel; });
  EXPECT_EQ(compilations, 1);
  for (const SharedKernel& kernel : kernels) EXPECT_EQ(kernel, kernels.front());
  EXPECT_EQ(cache.stats().hits, 7);
}

TEST(KernelCache, DifferentKeysCompileAtTheSameTime) {
  KernelCache cache(kRoomy);
  std::barrier together(2);  // each compilation waits for the other: serial compilation would hang here
  const KernelCache::Compile compile = [&](const plan::KernelKey& key) {
    together.arrive_and_wait();
    return compile_head_dim(key);
  };
  std::jthread other([&] { (void)cache.find_or_compile(key_of(1), compile).value(); });
  EXPECT_EQ(answer_of(*cache.find_or_compile(key_of(2), compile).value().kernel), 2);
}

TEST(KernelCache, FailureReachesEveryWaiterAndIsNotKept) {
  KernelCache cache(kRoomy);
  std::atomic<int> compilations = 0;
  const KernelCache::Compile compile = [&](const plan::KernelKey&) -> Result<plan::CodeImage> {
    ++compilations;
    linger();
    Diagnostic diagnostic;
    diagnostic.kind = "broken";
    return diagnostic;
  };
  const auto kinds = ask_from_eight([&] {
    const auto found = cache.find_or_compile(key_of(9), compile);
    return found ? std::string("compiled") : found.diagnostics().front().kind;
  });
  for (const std::string& kind : kinds) EXPECT_EQ(kind, "broken");
  EXPECT_GE(compilations, 1);
  EXPECT_EQ(cache.stats().kernels, 0U);
  EXPECT_FALSE(cache.find_or_compile(key_of(9), compile_head_dim).value().hit);
}

TEST(KernelCache, ExceptionReachesEveryWaiterAndIsNotKept) {
  KernelCache cache(kRoomy);
  const KernelCache::Compile compile = [&](const plan::KernelKey&) -> Result<plan::CodeImage> {
    linger();
    throw std::runtime_error("thrown by the compiler");
  };
  const auto texts = ask_from_eight([&]() -> std::string {
    try {
      (void)cache.find_or_compile(key_of(9), compile);
      return "returned";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  });
  for (const std::string& text : texts) EXPECT_EQ(text, "thrown by the compiler");
  EXPECT_EQ(answer_of(*cache.find_or_compile(key_of(9), compile_head_dim).value().kernel), 9);
}

TEST(KernelCache, RefusesAnImageOfAnotherKey) {
  KernelCache cache(kRoomy);
  const KernelCache::Compile compile = [](const plan::KernelKey&) { return compile_head_dim(key_of(77)->key); };
  EXPECT_THROW((void)cache.find_or_compile(key_of(9), compile), support::InternalError);
  EXPECT_EQ(cache.stats().kernels, 0U);
}

TEST(KernelCache, RefusesEntryPointsOutsideTheImage) {
  KernelCache cache(kRoomy);
  const KernelCache::Compile compile = [](const plan::KernelKey& key) {
    Result<plan::CodeImage> image = compile_head_dim(key);
    image->entries[plan::Entry::kPack] = image->bytes.size();
    return image;
  };
  EXPECT_THROW((void)cache.find_or_compile(key_of(9), compile), support::InternalError);
}

}  // namespace
}  // namespace flexjit::cache
