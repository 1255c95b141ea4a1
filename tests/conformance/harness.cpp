// See harness.h.
#include "harness.h"

#include <cstdlib>
#include <map>

#include "support/sample.h"

namespace flexjit::conformance {

Engine& engine_for(std::string_view target) {
  static std::map<std::string, Engine, std::less<>> engines;
  auto found = engines.find(target);
  if (found == engines.end()) {
    EngineOptions options;
    options.backend = Backend::kCompiled;
    options.target = std::string(target);
    options.threads = 2;
    const char* kernels = std::getenv("FLEXJIT_TEST_KERNELS");
    options.cache_dir = kernels == nullptr ? "" : kernels;
    found = engines.emplace(std::string(target), Engine(options)).first;
  }
  return found->second;
}

std::vector<std::string> targets_here() {
  std::vector<std::string> targets{"host"};
#if defined(__x86_64__)
  // "host" is the widest of these; it is compiled once.
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx2")) targets.emplace_back("x86-64-v3");
  if (__builtin_cpu_supports("avx2")) targets.emplace_back("x86-64");
#endif
  return targets;
}

std::vector<std::string> sampled_targets(std::string_view name) {
  std::vector<std::string> targets = targets_here();
  if (is_sampled()) targets = {targets[sampled_place(name, targets.size())]};
  return targets;
}

AttentionSpec spec_of(std::string_view program, const Shape& shape) {
  AttentionSpec spec;
  spec.program = std::string(program);
  spec.head_dim = shape.head_dim;
  spec.v_head_dim = shape.v_head_dim;
  return spec;
}

Attention compile_or_throw(Engine& engine, const AttentionSpec& spec) {
  Result<Attention> compiled = engine.compile(spec);
  if (!compiled.has_value()) ADD_FAILURE() << render(compiled.diagnostics()) << spec.program;
  return std::move(compiled).value();
}

void expect_matches_reference(const AttentionSpec& spec, const Shape& shape, const Bindings* bindings, Tolerance tolerance) {
  Problem expected(shape, {}, 7), actual(shape, {}, 7);
  bool have_reference = false;
  for (const std::string& target : sampled_targets(spec.program + spec.score_mod + spec.mask_mod)) {
    SCOPED_TRACE(target + ", " + to_string(shape));
    Attention attention = compile_or_throw(engine_for(target), spec);
    if (!have_reference) attention.run_reference(expected.args(bindings)).value();
    have_reference = true;
    actual.poison_outputs();
    attention.run(actual.args(bindings)).value();
    EXPECT_TRUE(outputs_agree(actual, expected, tolerance)) << spec.program << spec.score_mod << "\n" << spec.mask_mod;
  }
}

}  // namespace flexjit::conformance
