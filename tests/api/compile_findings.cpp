// What can be wrong with a spec or an engine.
#include "finding_cases.h"
#include "plan/target.h"

namespace flexjit::test {

namespace {

// A target that this machine cannot execute: another architecture.
std::string foreign_target() {
  return std::string(plan::name_of(plan::can_execute({plan::Isa::kAArch64, ""}) ? plan::Isa::kX86_64 : plan::Isa::kAArch64));
}

std::vector<FindingCase> dtype_cases() {
  return {
      broken("unsupported-dtype", "compile: error: dtype is i32; it must be f32, bf16, f16 or f64\n",
             [](Sample& s) { s.spec.dtype = DType::kI32; }),
      broken("unsupported-dtype",
             "compile: error: kv_dtype is f64; it must be f32, bf16, f16, i8, e4m3 or e5m2 with f32 queries\n",
             [](Sample& s) { s.spec.kv_dtype = DType::kF64; }),
      broken("unsupported-dtype", "compile: error: kv_dtype is f16; it must be bf16, i8, e4m3 or e5m2 with bf16 queries\n",
             [](Sample& s) {
               s.spec.dtype = DType::kBF16;
               s.spec.kv_dtype = DType::kF16;
             }),
      broken("unsupported-dtype", "compile: error: out_dtype is bf16; it must be f32 with f32 queries\n",
             [](Sample& s) { s.spec.out_dtype = DType::kBF16; }),
      broken("unsupported-dtype", "compile: error: out_dtype is bf16; it must be f16 or f32 with f16 queries\n",
             [](Sample& s) {
               s.spec.dtype = DType::kF16;
               s.spec.out_dtype = DType::kBF16;
             }),
      broken("unsupported-dtype", "compile: error: attention_mask.dtype is i32; it must be f32, bf16, f16 or bool\n",
             [](Sample& s) { s.spec.attention_mask = MaskTensor{DType::kI32, 4}; }),
  };
}

std::vector<FindingCase> preset_cases() {
  return {
      {"unknown-preset", "find_preset: error: there is no preset `casual`; did you mean `causal`?\n",
       [] { return find_preset("casual").diagnostics(); }},
      {"composition", "mask_mod: error: a mask that is composed cannot define functions; write `near` out\n",
       [] { return not_mask("def near(x) = abs(x) < 4\nnear(q_idx - kv_idx)").diagnostics(); }},
      {"bad-option", "choose_by_head: error: masks is empty; give one or more\n",
       [] { return choose_by_head({}).diagnostics(); }},
  };
}

std::vector<FindingCase> flag_cases() {
  return {
      broken("bad-option",
             "compile: error: attention_mask.rank is 1; give 2 for (q_len, kv_len), 3 with q_heads, 4 with batch\n",
             [](Sample& s) { s.spec.attention_mask = MaskTensor{DType::kF32, 1}; }),
      broken("param-range", "compile: error: param `window_left` is -2; it must be 0 or more, or -1 for unbounded\n",
             [](Sample& s) { s.spec.window = Window{-2, 0}; }),
      broken("param-range", "compile: error: param `softcap` is 0; it must be finite and above 0\n",
             [](Sample& s) { s.spec.softcap = 0.0F; }),
      broken("param-range", "compile: error: param `dropout_p` is 1.5; it must be from 0 to 1\n",
             [](Sample& s) { s.spec.dropout = Dropout{.p = 1.5}; }),
      broken("flag-name",
             "compile: error: the text declares `dropout_seed`, which the flag `dropout` uses; choose another name\n",
             [](Sample& s) {
               s.spec.dropout = Dropout{};
               s.spec.program = "param dropout_seed : int = 3\nmask = kv_idx < dropout_seed";
             }),
      broken("flag-name",
             "compile: error: the text declares `window_left`, which the flag `window` uses; choose another name\n",
             [](Sample& s) {
               s.spec.window = Window{1, 1};
               s.spec.program = "param window_left : int = 3\nmask = kv_idx < window_left";
             }),
  };
}

// Of a binary that has the library neither beside it nor where the loader looks; what the loader says of each place is left
// out.
FindingCase no_cxx_case() {
  return {.kind = "no-cxx",
          .expected =
              "compile: error: cannot open the library that reads C++:\ninstall flexjit-cxx beside libflexjit, or give "
              "the pattern in the language of docs/language.md\n",
          .produce = [] {
            Sample sample;
            sample.spec.language = TextLanguage::kCxx;
            sample.spec.score_mod = "[](float score) { return score; }";
            Diagnostics found = diagnostics_of(sample);
            for (Diagnostic& one : found) {
              const std::size_t begin = one.message.find('\n'), end = one.message.rfind('\n');
              if (begin < end) one.message.erase(begin, end - begin);
            }
            return found;
          }};
}

}  // namespace

std::vector<FindingCase> compile_cases() {
  std::vector<FindingCase> cases = {
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
      broken("program-size",
             "compile: error: the pattern comes to about 57416 instructions of a kernel; at most 45000 are compiled: share "
             "what is "
             "computed twice by `let`, keep reads, dots and functions few, or read a table instead\n",
             [](Sample& s) { s.spec.program = "score = score + sum(n in 0..180 : sin(score * n))"; }),
      broken("head-dim", "compile: error: head_dim is 0; it must be 1 to 1024\n", [](Sample& s) { s.spec.head_dim = 0; }),
      broken("head-dim", "compile: error: v_head_dim is 1025; it must be 1 to 1024\n",
             [](Sample& s) { s.spec.v_head_dim = 1025; }),
      broken("bad-option", "compile: error: weights is 5; give Weights::kSoftmax, kSigmoid or kLinear\n",
             [](Sample& sample) { sample.spec.weights = static_cast<Weights>(5); }),
      {"quadratic",
       "compile: warning: this mask of linear weights is neither causal nor of keys alone, nor both: every pair is computed, "
       "slowly, by the reference\n",
       [] { return check({.mask_mod = "abs(q_idx - kv_idx) < 4", .weights = Weights::kLinear}); }},
      broken("bad-option", "compile: error: dropout.generator is 6; give DropoutGenerator::kPhilox or kPhilox4\n",
             [](Sample& sample) { sample.spec.dropout = Dropout{.p = 0.1, .generator = static_cast<DropoutGenerator>(6)}; }),
      broken("bad-option", "compile: error: EngineOptions::threads is -1; give 1 to 4096, or 0 for all cores\n",
             [](Sample& s) { s.options.threads = -1; }),
      broken("unsupported-target",
             "compile: error: this machine cannot execute target `" + foreign_target() + "`; its own target is `" +
                 plan::name_of(plan::host_target()) + "`\n",
             [](Sample& s) {
               s.options.backend = Backend::kCompiled;
               s.options.target = foreign_target();
             }),
      broken("no-compiler",
             "compile: error: cannot open the compiler library:\n"
             "  /nowhere/compiler.so: cannot open shared object file: No such file or directory\n"
             "install flexjit-compiler beside libflexjit, name its path in EngineOptions::compiler_path, or allow "
             "Backend::kCompiledOrReference\n",
             [](Sample& s) {
               s.options.backend = Backend::kCompiled;
               s.options.compiler_path = "/nowhere/compiler.so";
             }),
  };
  cases.push_back(no_cxx_case());
  for (FindingCase& one : dtype_cases()) cases.push_back(std::move(one));
  for (FindingCase& one : preset_cases()) cases.push_back(std::move(one));
  for (FindingCase& one : flag_cases()) cases.push_back(std::move(one));
  return cases;
}

}  // namespace flexjit::test
