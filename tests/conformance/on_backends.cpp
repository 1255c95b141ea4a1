// See on_backends.h.
#include "on_backends.h"

#include <algorithm>

namespace flexjit::conformance {
namespace {

bool can_execute(const std::string& target) {
  EngineOptions options;
  options.backend = Backend::kCompiled;
  options.target = target;
  Engine engine(options);
  AttentionSpec plain;
  plain.head_dim = 8;
  const Result<Attention> compiled = engine.compile(plain);
  // Any other failure must fail the tests, not leave them out.
  return compiled || compiled.diagnostics()[0].kind != "unsupported-target";
}

}  // namespace

std::vector<std::string> backends_here() {
  std::vector<std::string> backends{"reference"};
  for (const char* target : {"x86-64-v4-bf16", "x86-64-v4", "x86-64-v3", "x86-64", "aarch64"}) {
    if (can_execute(target)) backends.emplace_back(target);
  }
  return backends;
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
