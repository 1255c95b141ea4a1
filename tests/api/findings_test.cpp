// Every finding has a case, and every case gives exactly its text.
#include <gtest/gtest.h>

#include <set>

#include "finding_cases.h"
#include "support/checklist.h"

namespace flexjit::test {

namespace {

template <typename T>
void append(std::vector<T>& all, std::vector<T> more) {
  all.insert(all.end(), more.begin(), more.end());
}

std::vector<FindingCase> all_cases() {
  std::vector<FindingCase> cases = compile_cases();
  append(cases, tensor_cases());
  append(cases, sequence_cases());
  append(cases, kv_cache_cases());
  append(cases, gradient_cases());
  append(cases, binding_cases());
  append(cases, mask_cases());
  append(cases, library_cases());
  append(cases, other_cases());
  return cases;
}

}  // namespace

Sample::Sample() : q(2 * 4 * 3 * 8, 0.5F), k(2 * 2 * 5 * 8, 0.25F), v(2 * 2 * 5 * 4, 1.0F), out(2 * 4 * 3 * 4), lse(2 * 4 * 3) {
  spec.head_dim = 8;
  spec.v_head_dim = 4;
  options.backend = Backend::kReference;
  args = {.q = TensorView(q.data(), DType::kF32, {2, 4, 3, 8}),
          .k = TensorView(k.data(), DType::kF32, {2, 2, 5, 8}),
          .v = TensorView(v.data(), DType::kF32, {2, 2, 5, 4}),
          .out = MutableTensorView(out.data(), DType::kF32, {2, 4, 3, 4}),
          .lse = MutableTensorView(lse.data(), DType::kF32, {2, 4, 3}),
          .bindings = &bindings};
}

Diagnostics diagnostics_of(const Sample& sample) {
  Engine engine(sample.options);
  const Result<Attention> attention = engine.compile(sample.spec);
  if (!attention) return attention.diagnostics();
  const Result<RunStats> stats = attention->run(sample.args);
  return stats ? Diagnostics{} : stats.diagnostics();
}

FindingCase broken(std::string kind, std::string expected, std::function<void(Sample&)> breakage) {
  return {std::move(kind), std::move(expected), [breakage = std::move(breakage)] {
            Sample sample;
            breakage(sample);
            return diagnostics_of(sample);
          }};
}

TEST(Findings, TheSampleItselfIsValid) {
  const Sample sample;
  EXPECT_EQ(render(diagnostics_of(sample)), "");
}

TEST(Findings, EachCaseGivesItsText) {
  covers("F11", "P05");
  for (const FindingCase& one : all_cases()) {
    SCOPED_TRACE(one.kind);
    const Diagnostics diagnostics = one.produce();
    EXPECT_EQ(render(diagnostics), one.expected);
    ASSERT_EQ(diagnostics.size(), 1U);
    EXPECT_EQ(diagnostics[0].kind, one.kind);
    const bool warns = one.expected.find(": warning: ") != std::string::npos;
    EXPECT_EQ(diagnostics[0].severity, warns ? Severity::kWarning : Severity::kError);
  }
}

TEST(Findings, EveryKindHasACase) {
  std::set<std::string> covered;
  for (const FindingCase& one : all_cases()) covered.insert(one.kind);
  for (const char* kind : {
#define FLEXJIT_DIAGNOSTIC(finding, kind, text) kind,
#include "diagnostics/diagnostics.def"
#undef FLEXJIT_DIAGNOSTIC
       }) {
    EXPECT_TRUE(covered.contains(kind)) << kind << " has no case";
  }
}

TEST(Findings, AllProblemsOfOneCallComeTogether) {
  Sample sample;
  sample.spec.score_mod = "score + slope[h]";
  sample.spec.buffers = {{.name = "slope"}};
  sample.args.k.shape[3] = 9;
  sample.args.v.dtype = DType::kF16;
  sample.args.out.data = nullptr;
  EXPECT_EQ(render(diagnostics_of(sample)),
            "run: error: k has head_dim 9, but the pattern has 8\n"
            "run: error: v is f16; this pattern takes f32\n"
            "run: error: out has no data; only a tensor with an extent of 0 may be null\n"
            "run: error: buffer `slope` is not bound; it is declared f32 with 1 dimension\n");
}

TEST(Findings, AllProblemsOfOneBackwardCallComeTogether) {
  Sample sample;
  sample.spec.score_mod = "score + slope[h]";
  sample.spec.buffers = {{.name = "slope"}};
  sample.args.lse = {};
  const TensorView narrow(sample.q.data(), DType::kF16, {2, 4, 3, 4});
  const MutableTensorView long_keys(sample.k.data(), DType::kF32, {2, 2, 4, 8});
  Gradients gradients{.out = narrow, .k = long_keys};
  gradients.buffers["slop"] = MutableTensorView(sample.v.data(), DType::kF32, {4});
  Engine engine(sample.options);
  const Attention attention = engine.compile(sample.spec).value();
  const std::string expected =
      "run_backward: error: buffer `slope` is not bound; it is declared f32 with 1 dimension\n"
      "run_backward: error: lse of the forward call has no data; give run() an lse to write, and keep it for the backward "
      "pass\n"
      "run_backward: error: gradients.out is f16; it must be f32\n"
      "run_backward: error: gradients.k has kv_len 4, but k has 5\n"
      "run_backward: error: the pattern has no buffer `slop`; did you mean `slope`?\n";
  EXPECT_EQ(render(run_backward(attention, sample.args, gradients).diagnostics()), expected);
  EXPECT_EQ(render(run_backward_reference(attention, sample.args, gradients).diagnostics()), expected);
}

TEST(Findings, RunAndReferenceCheckAlike) {
  Sample sample;
  sample.args.q.shape[0] = 3;
  Engine engine(sample.options);
  const Attention attention = engine.compile(sample.spec).value();
  EXPECT_EQ(render(attention.run(sample.args).diagnostics()), render(attention.run_reference(sample.args).diagnostics()));
}

}  // namespace flexjit::test
