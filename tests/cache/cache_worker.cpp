// One process of those that share a cache directory: compiles or finds small patterns, runs them, compares with naive
// attention, and stores real kernels over and over, until it is killed or has done what it was asked for. Each finished step is
// one byte on stdout. Exit code 3: a result was wrong, and stderr says which.
//
//   cache_worker DIRECTORY SEED until-killed STOCK     STOCK: a directory with kernels to store copies of
//   cache_worker DIRECTORY SEED once
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "cache/disk_cache.h"
#include "cache/disk_entry.h"
#include "cache_steps.h"
#include "flexjit/flexjit.h"
#include "support/comparison.h"

namespace flexjit::test {
namespace {

constexpr std::int64_t kRoomy = std::int64_t{64} << 20;
constexpr int kPatterns = 4;

// Pattern n as text, and as the naive attention's own functions.
AttentionSpec spec_of(int n) {
  AttentionSpec spec;
  spec.head_dim = 16;
  spec.mask_mod = fmt::format("q_idx + {} >= kv_idx", n);
  spec.score_mod = fmt::format("score + {}.5 * (kv_idx - q_idx)", n);
  return spec;
}

OraclePattern pattern_of(int n) {
  return {.score = [n](double score, const Position& p) { return score + (n + 0.5) * static_cast<double>(p.kv_idx - p.q_idx); },
          .mask = [n](const Position& p) { return p.q_idx + n >= p.kv_idx; }};
}

void report(Step step) {
  const char byte = static_cast<char>(step);
  if (::write(STDOUT_FILENO, &byte, 1) != 1) std::exit(2);
}

Step step_of(const Attention& attention) {
  switch (attention.kernel_source()) {
    case KernelSource::kCompiled: return Step::kCompiled;
    case KernelSource::kDisk: return Step::kFound;
    case KernelSource::kMemory:
    case KernelSource::kBuilt:
    case KernelSource::kReference: break;
  }
  return Step::kOther;
}

// An engine that knows nothing but the directory: one call with many query rows and one with few.
void use_one(const std::string& directory, int n) {
  EngineOptions options;
  options.backend = Backend::kCompiled;
  options.threads = 1;
  options.cache_dir = directory;
  options.compiler_path = FLEXJIT_TEST_COMPILER;
  Engine engine(options);
  const Result<Attention> attention = engine.compile(spec_of(n));
  for (const std::int32_t q_len : {40, 1}) {
    Problem problem({.q_len = q_len, .kv_len = 24, .head_dim = 16, .v_head_dim = 16}, {}, static_cast<std::uint64_t>(n));
    const Result<RunStats> ran = attention ? attention->run(problem.args()) : Result<RunStats>(attention.diagnostics());
    if (!ran) fmt::print(stderr, "pattern {}: {}", n, render(ran.diagnostics())), std::exit(3);
    const auto right = is_attention(problem, pattern_of(n), kNear);
    if (!right) fmt::print(stderr, "pattern {}: {}\n", n, right.message()), std::exit(3);
  }
  report(step_of(*attention));
}

// Every kernel of the stock, each written anew: what lies there already would not be written again.
void store_all(const std::string& directory, const std::vector<plan::CodeImage>& stock) {
  cache::DiskCache cache(directory, kRoomy);
  for (const plan::CodeImage& image : stock) {
    ::unlink((directory + "/" + cache::file_of(image.key_text)).c_str());
    cache.store(image);
    report(Step::kStored);
  }
}

std::vector<plan::CodeImage> read_stock(const std::string& directory) {
  std::vector<plan::CodeImage> images;
  const cache::DiskCache cache(directory, kRoomy);
  for (const cache::DiskEntry& entry : cache.list()) images.push_back(cache.load(entry.key_text).value());
  return images;
}

}  // namespace
}  // namespace flexjit::test

int main(int argc, char** argv) {
  using namespace flexjit::test;
  if (argc < 4) return 2;
  const std::string directory = argv[1];
  if (std::string_view(argv[3]) == "once") {
    for (int n = 0; n < kPatterns; ++n) use_one(directory, n);
    return 0;
  }
  const std::vector<flexjit::plan::CodeImage> stock = read_stock(argv[4]);
  for (std::mt19937 random(static_cast<unsigned>(std::atol(argv[2])));;) {
    if (random() % 8 == 0) store_all(directory, stock);
    use_one(directory, static_cast<int>(random() % kPatterns));
  }
}
