// Compiles many distinct patterns and drops each, and prints what the process holds after every tenth of them: resident memory
// and mappings must stay flat after the warm-up. Arguments: how many (10000).
#include <flexjit/flexjit.h>
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace {

// "VmRSS:   123456 kB" -> 123456.
long resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::atol(line.c_str() + 6);
  }
  return 0;
}

long mappings() {
  std::ifstream maps("/proc/self/maps");
  long lines = 0;
  for (std::string line; std::getline(maps, line);) ++lines;
  return lines;
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 10000;
  flexjit::EngineOptions options;
  options.cache_dir.clear();
  options.cache_bytes = std::size_t{1} << 20;
  flexjit::Engine engine(options);
  for (int i = 1; i <= count; ++i) {
    flexjit::AttentionSpec spec;
    spec.head_dim = 16;
    spec.score_mod = fmt::format("score + {} * kv_idx", i);
    const auto attention = engine.compile(spec);
    if (!attention) {
      fmt::print(stderr, "{}", flexjit::render(attention.diagnostics()));
      return 1;
    }
    if (i % (count / 10 > 0 ? count / 10 : 1) != 0) continue;
    fmt::print("{} patterns: {} KiB resident, {} mappings, {} kernels cached\n", i, resident_kib(), mappings(),
               engine.stats().cached_kernels);
  }
}
