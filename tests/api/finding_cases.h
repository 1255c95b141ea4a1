// One small valid call and the ways to break it: every finding of lib/diagnostics/diagnostics.def with its whole rendered text.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "flexjit/flexjit.h"

namespace flexjit::test {

// Each case breaks a valid call in one way and expects this text, and nothing else, to come back.
struct FindingCase {
  std::string kind;
  std::string expected;  // rendered
  std::function<Diagnostics()> produce;
};

std::vector<FindingCase> compile_cases();
std::vector<FindingCase> tensor_cases();
std::vector<FindingCase> sequence_cases();
std::vector<FindingCase> kv_cache_cases();
std::vector<FindingCase> gradient_cases();
std::vector<FindingCase> binding_cases();
std::vector<FindingCase> mask_cases();
std::vector<FindingCase> library_cases();
std::vector<FindingCase> other_cases();

// A valid call: batch 2, 4 query heads on 2 key heads, 3 queries, 5 keys, head_dim 8, v_head_dim 4, on the reference backend.
struct Sample {
  Sample();
  Sample(const Sample&) = delete;

  std::vector<float> q, k, v, out, lse;
  AttentionSpec spec;
  EngineOptions options;
  Bindings bindings;
  RunArgs args;
};

// Compiles and runs; what was wrong, or nothing.
Diagnostics diagnostics_of(const Sample& sample);

// A case that breaks the sample before it is compiled and run.
FindingCase broken(std::string kind, std::string expected, std::function<void(Sample&)> breakage);

}  // namespace flexjit::test
