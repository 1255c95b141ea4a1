// What can be wrong with a spec or an engine.
#include "finding_cases.h"
#include "plan/target.h"

namespace flexjit::test {

namespace {

// A target that this machine cannot execute: another architecture.
std::string foreign_target() {
  return std::string(plan::name_of(plan::can_execute({plan::Isa::kAArch64, ""}) ? plan::Isa::kX86_64 : plan::Isa::kAArch64));
}

}  // namespace

std::vector<FindingCase> compile_cases() {
  return {
      broken("spec-form", "compile: error: the spec has both `program` and `mask_mod`; give the text in one of the two forms\n",
             [](Sample& s) {
               s.spec.program = "score = score";
               s.spec.mask_mod = "true";
             }),
      broken(
          "spec-form",
          "compile: error: the spec has both `program` and `score_mod` and `mask_mod`; give the text in one of the two forms\n",
          [](Sample& s) {
            s.spec.program = "score = score";
            s.spec.score_mod = "score";
            s.spec.mask_mod = "true";
          }),
      broken("head-dim", "compile: error: head_dim is 0; it must be 1 to 512\n", [](Sample& s) { s.spec.head_dim = 0; }),
      broken("head-dim", "compile: error: v_head_dim is 513; it must be 1 to 512\n",
             [](Sample& s) { s.spec.v_head_dim = 513; }),
      broken("unsupported-dtype", "compile: error: dtype bf16 is not supported; q, k, v and out must be f32\n",
             [](Sample& s) { s.spec.dtype = DType::kBF16; }),
      broken("bad-option", "compile: error: EngineOptions::threads is -1; give 1 or more, or 0 for all cores\n",
             [](Sample& s) { s.options.threads = -1; }),
      broken("unsupported-target",
             "compile: error: this machine cannot execute target `" + foreign_target() + "`; its own target is `" +
                 std::string(plan::name_of(plan::host_target().isa)) + "`\n",
             [](Sample& s) {
               s.options.backend = Backend::kCompiled;
               s.options.target = foreign_target();
             }),
      broken("no-compiler",
             "compile: error: cannot open the compiler library:\n"
             "  /nowhere/compiler.so: cannot open shared object file: No such file or directory\n"
             "install flexjit-compiler beside libflexjit, name its path in EngineOptions::compiler_path, or use "
             "Backend::kReference\n",
             [](Sample& s) {
               s.options.backend = Backend::kCompiled;
               s.options.compiler_path = "/nowhere/compiler.so";
             }),
  };
}

}  // namespace flexjit::test
