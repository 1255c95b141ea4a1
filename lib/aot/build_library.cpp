// Each pattern's kernels for each target, of every nest that is wanted, into bundles; bundles into a library, by the compiler
// library.
#include "flexjit/build.h"

#include <algorithm>
#include <optional>
#include <ranges>
#include <set>
#include <utility>

#include "aot/arguments.h"
#include "aot/bundle.h"
#include "aot/c_header.h"
#include "cache/compiler.h"
#include "call/backward_kernels.h"
#include "diagnostics/guard.h"
#include "diagnostics/report.h"
#include "ir/passes/passes.h"
#include "pattern/pattern.h"
#include "plan/sizes/decode.h"
#include "support/dtype.h"

namespace flexjit {

namespace {

using engine::Finding;
using SharedPattern = std::shared_ptr<const engine::Pattern>;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_identifier(std::string_view name) {
  return !name.empty() && is_letter(name.front()) &&
         std::ranges::all_of(name, [](char c) { return is_letter(c) || is_digit(c); });
}

void check_names(std::span<const BuildPattern> patterns, engine::Report& report) {
  if (patterns.empty()) report.add(Finding::kBadOption, "the number of patterns", 0, "give one or more");
  std::set<std::string_view> seen;
  for (const BuildPattern& pattern : patterns) {
    if (!is_identifier(pattern.name)) {
      report.add(Finding::kBuildName, pattern.name, "it is no C identifier (letters, digits and _, no digit first)");
    } else if (pattern.name.starts_with("flexjit")) {
      report.add(Finding::kBuildName, pattern.name, "names that begin with flexjit are libflexjit's own");
    } else if (!seen.insert(pattern.name).second) {
      report.add(Finding::kBuildName, pattern.name, "another pattern of the library has this name");
    }
  }
}

// Sorted, the best last, each once.
std::vector<plan::Target> check_targets(const std::vector<std::string>& names, engine::Report& report) {
  if (names.empty()) report.add(Finding::kBadOption, "the number of targets", 0, "give one or more");
  std::vector<plan::Target> targets;
  for (const std::string& name : names) {
    Result<plan::Target> target = plan::parse_target(name);
    if (target) {
      targets.push_back(*std::move(target));
    } else {
      report.add_all(target.diagnostics());
    }
  }
  const auto rank = [](const plan::Target& target) { return std::pair(target.isa, target.bf16); };
  std::ranges::sort(targets, {}, rank);
  const auto repeated = std::ranges::unique(targets, {}, rank);
  targets.erase(repeated.begin(), repeated.end());
  if (!targets.empty() && plan::baseline_of(targets.front().isa) != plan::baseline_of(targets.back().isa)) {
    report.add(Finding::kBuildTargets, plan::name_of(targets.front()), plan::name_of(targets.back()));
  }
  return targets;
}

std::vector<SharedPattern> prepare(std::span<const BuildPattern> patterns, engine::Report& report) {
  EngineOptions without_kernel;  // keys are planned for each target later
  without_kernel.backend = Backend::kReference;
  std::vector<SharedPattern> prepared;
  for (const BuildPattern& pattern : patterns) {
    Result<SharedPattern> one = engine::prepare_pattern(pattern.spec, without_kernel, engine::Purpose::kShow);
    if (one && (*one)->weights == plan::Weights::kLinear) {
      report.add(Finding::kNotLinear, fmt::format("a library of `{}`", pattern.name), "compile it where it runs");
    } else if (one && support::is_quantised((*one)->types.kv)) {
      report.add(Finding::kUnsupportedDType, fmt::format("kv_dtype of `{}`", pattern.name), name_of((*one)->types.kv),
                 "a float: the calls of built libraries have no scales");
    } else if (one) {
      prepared.push_back(*std::move(one));
    } else {
      report.add_all(one.diagnostics());
    }
  }
  return prepared;
}

struct WantedKernel {
  plan::KernelKey key;
  std::vector<std::uint32_t> gradients{};
};

std::vector<WantedKernel> wanted_kernels(const engine::Pattern& pattern, const plan::Target& target, BuildPasses passes) {
  const plan::KernelKey prefill = engine::prefill_key_of(pattern, target);
  std::vector<WantedKernel> wanted = {{prefill}};
  if (plan::can_decode(pattern.types)) wanted.push_back({plan::decode_key_of(prefill)});
  if (passes == BuildPasses::kForward) return wanted;
  std::vector<std::uint32_t> all = ir::differentiable_buffers(pattern.program);
  wanted.push_back({engine::gradient_key_of(prefill, {}), {}});
  if (!all.empty()) wanted.push_back({engine::gradient_key_of(prefill, all), all});
  return wanted;
}

Result<std::vector<aot::BundledKernel>> kernels_of(const plan::CompilerDoor& door, const engine::Pattern& pattern,
                                                   std::span<const plan::Target> targets, BuildPasses passes) {
  std::vector<aot::BundledKernel> kernels;
  for (const plan::Target& target : targets) {
    for (const auto& [key, gradients] : wanted_kernels(pattern, target, passes)) {
      Result<plan::CodeImage> image = door.compile(key);
      if (!image) return image.diagnostics();
      kernels.push_back({key.nest, gradients, key.target, key.tiling, key.llvm_version, *std::move(image)});
    }
  }
  return kernels;
}

const std::string& text_of(const AttentionSpec& spec, std::string& made) {
  if (!spec.program.empty()) return spec.program;
  if (!spec.score_mod.empty()) made += "score = " + spec.score_mod + "\n";
  if (!spec.mask_mod.empty()) made += "mask = " + spec.mask_mod + "\n";
  return made;
}

std::optional<std::vector<std::uint32_t>> gradients_of(const engine::Pattern& pattern, BuildPasses passes) {
  if (passes == BuildPasses::kForward) return std::nullopt;
  return ir::differentiable_buffers(pattern.program);
}

aot::DeclaredPattern declared(const BuildPattern& given, const engine::Pattern& pattern, BuildPasses passes) {
  std::string made;
  return {.name = given.name,
          .text = text_of(given.spec, made),
          .interface = pattern.interface,
          .types = pattern.types,
          .weights = pattern.weights,
          .head_dim = pattern.head_dim,
          .v_head_dim = pattern.v_head_dim,
          .gradients = gradients_of(pattern, passes)};
}

Result<BuiltLibrary> build(std::span<const BuildPattern> patterns, const BuildOptions& options) {
  engine::Report report("build");
  check_names(patterns, report);
  const std::vector<plan::Target> targets = check_targets(options.targets, report);
  const std::vector<SharedPattern> prepared = prepare(patterns, report);
  if (!report.empty()) return report.take();

  // Where the library is used nothing reads C++.
  std::vector<BuildPattern> programs;
  for (const BuildPattern& pattern : patterns) {
    Result<AttentionSpec> program = as_program(pattern.spec);
    if (!program) return program.diagnostics();
    programs.push_back({pattern.name, *std::move(program)});
  }
  cache::CompilerLoader loader(options.compiler_path);
  const Result<const plan::CompilerDoor*> door = engine::open_compiler(loader);
  if (!door) return door.diagnostics();
  BuiltLibrary library;
  for (const plan::Target& target : targets) library.targets.push_back(plan::name_of(target));
  plan::LibraryRequest request;
  request.isa = plan::baseline_of(targets.front().isa);
  request.kind = options.kind;
  request.soname = options.soname;
  std::vector<aot::DeclaredPattern> declarations;
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    Result<std::vector<aot::BundledKernel>> kernels = kernels_of(**door, *prepared[i], targets, options.passes);
    if (!kernels) return kernels.diagnostics();
    library.kernels += kernels->size();
    request.patterns.push_back({.name = patterns[i].name,
                                .bundle = aot::to_bytes({programs[i].spec, *std::move(kernels)}),
                                .initial_arguments = aot::initial_arguments(prepared[i]->interface)});
    declarations.push_back(declared(programs[i], *prepared[i], options.passes));
    if (const auto& gradients = declarations.back().gradients)
      request.patterns.back().initial_gradients = aot::initial_gradients(*gradients);
  }
  Result<std::vector<std::uint8_t>> bytes = (*door)->write_library(request);
  if (!bytes) return bytes.diagnostics();
  library.bytes = *std::move(bytes);
  library.header = aot::c_header(declarations, library.targets);
  return library;
}

}  // namespace

Result<BuiltLibrary> build_library(std::span<const BuildPattern> patterns, const BuildOptions& options) {
  return engine::guarded_on_large_stack("build", [&] { return build(patterns, options); });
}

}  // namespace flexjit
