// See on_backends.h.
#include "on_backends.h"

#include <algorithm>

namespace flexjit::conformance {

// By the processor's own word: listing the tests must compile nothing.
std::vector<std::string> backends_here() {
  std::vector<std::string> backends{"reference"};
#if defined(__x86_64__)
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512 && __builtin_cpu_supports("avx512bf16")) backends.emplace_back("x86-64-v4-bf16");
  if (avx512) backends.emplace_back("x86-64-v4");
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) backends.emplace_back("x86-64-v3");
  backends.emplace_back("x86-64");
#else
  backends.emplace_back("aarch64");
#endif
  return backends;
}

std::vector<std::string> arithmetics_here() {
  std::vector<std::string> targets;
  for (const std::string& backend : backends_here()) {
    if (backend != "reference") targets.push_back(backend == "x86-64" ? "x86-64-v2" : backend);
  }
  return targets;
}

std::string name_of_backend(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::ranges::replace(name, '-', '_');
  return name;
}

Engine& OnBackends::engine() {
  if (GetParam() != "reference") return engine_for(GetParam());
  static Engine reference = [] {
    EngineOptions options;
    options.backend = Backend::kReference;
    return Engine(options);
  }();
  return reference;
}

}  // namespace flexjit::conformance
