// What can be wrong with a library of built patterns: when it is made, and when it is called.
#include "aot/bundle.h"
#include "c/c_handles.h"
#include "call/call.h"
#include "finding_cases.h"
#include "flexjit/build.h"
#include "plan/target.h"

namespace flexjit::test {

namespace {

FindingCase building(std::string kind, std::string expected, std::vector<std::string> names, std::vector<std::string> targets) {
  return {std::move(kind), std::move(expected), [names, targets] {
            std::vector<BuildPattern> patterns;
            for (const std::string& name : names) patterns.push_back({name, {}});
            BuildOptions options;
            options.targets = targets;
            return build_library(patterns, options).diagnostics();
          }};
}

aot::BundledKernel kernel_for(const plan::Target& target) {
  aot::BundledKernel kernel;
  kernel.target = target;
  kernel.image.bytes.resize(1);
  kernel.image.key_text = "the key of another program";
  return kernel;
}

Diagnostics load(const std::vector<std::uint8_t>& bundle, const char* made_by) {
  flexjit_built built = {FLEXJIT_BUILT_VERSION, 0, made_by, bundle.data(), bundle.size(), nullptr};
  flexjit_attention* attention = nullptr;
  flexjit_error* error = nullptr;
  flexjit_built_attention(&built, &attention, &error);
  Diagnostics diagnostics = error->diagnostics;
  flexjit_error_free(error);
  return diagnostics;
}

FindingCase loading(std::string kind, std::string expected, const char* made_by, const aot::BundledKernel& kernel) {
  return {std::move(kind), std::move(expected), [made_by, kernel] { return load(aot::to_bytes({{}, {kernel}}), made_by); }};
}

// On a handle as a library gives it that was built without kernels of gradients; its forward kernel is never called.
Diagnostics backward_without_kernels() {
  Sample sample;
  sample.options.backend = Backend::kReference;
  const Attention reference = Engine(sample.options).compile(sample.spec).value();
  const auto built = std::make_shared<Attention::Impl>(reference.impl());
  const plan::KernelKey key = engine::prefill_key_of(*built->pattern, plan::host_target());
  plan::CodeImage image = kernel_for(key.target).image;
  image.key_text = plan::canonical_text(key);
  built->kernel = cache::load_image(key, image);
  return run_backward(Attention(built), sample.args, {}).diagnostics();
}

}  // namespace

std::vector<FindingCase> library_cases() {
  const bool arm = plan::host_target().isa == plan::Isa::kAArch64;
  const std::string foreign = arm ? "x86-64" : "aarch64", here = plan::name_of(plan::host_target());
  const std::string version = FLEXJIT_VERSION;
  return {
      building("build-name",
               "build: error: `2d` cannot name a pattern's functions: it is no C identifier (letters, digits and _, no digit "
               "first)\n",
               {"2d"}, {"host"}),
      building("build-name",
               "build: error: `a` cannot name a pattern's functions: another pattern of the library has this name\n",
               {"a", "a"}, {"host"}),
      building("build-targets", "build: error: x86-64 and aarch64 are of two architectures; build a library for each\n", {"a"},
               {"aarch64", "x86-64"}),
      building("bad-option", "build: error: the number of patterns is 0; give one or more\n", {}, {"host"}),
      building("bad-option", "build: error: the number of targets is 0; give one or more\n", {"a"}, {}),
      loading("built-version",
              "attention: error: the library was built by flexjit 0.0.9, this libflexjit is " + version +
                  "; build it again with this version, or install that one\n",
              "0.0.9", kernel_for(plan::host_target())),
      loading("built-version",
              "attention: error: the library was built by flexjit " + version + ", this libflexjit is " + version +
                  " of other sources; build it again with this version, or install that one\n",
              FLEXJIT_VERSION, kernel_for(plan::host_target())),
      loading("built-target",
              "attention: error: the library has code for " + foreign + ", but this machine executes " + here +
                  "; build it with a --target that this machine has\n",
              FLEXJIT_VERSION, kernel_for(plan::parse_target(foreign).value())),
      {"built-backward",
       "run_backward: error: the library was built without kernels of gradients; build it again with `flexjit build "
       "--backward`, "
       "in C++ with BuildPasses::kBoth\n",
       backward_without_kernels},
      {"built-damaged", "attention: error: the library's data of this pattern are damaged; build it again\n",
       [] { return load(std::vector<std::uint8_t>(100), FLEXJIT_VERSION); }},
  };
}

}  // namespace flexjit::test
