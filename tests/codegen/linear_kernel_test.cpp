// The kernels of linear weights as artefacts: closed code for every instruction set, of every precision, with gates and masks.
#include <gtest/gtest.h>

#include <string>

#include "ir/lower/lower.h"
#include "ir/passes/passes.h"
#include "jit/object/compile.h"
#include "plan/kernel_key.h"

namespace flexjit::test {
namespace {

ir::Program program_of(const std::string& text, support::Precision precision) {
  dsl::Source source;
  source.file = dsl::SourceText{"program", text};
  source.precision = precision;
  const ir::Lowered lowered = ir::lower_source(source).value();
  return ir::simplify(ir::prove_reads(ir::simplify(lowered.program), lowered.interface));
}

// A map with everything that a map can read, under a mask of keys, with gates.
constexpr const char* kAll = R"(buffer W : f32[?, ?]
buffer there : bool[batch_size, kv_len]
buffer g : f32[num_heads, kv_len]
feature = exp(0.3 * dot(W, x) - 0.1 * sumsq(x)) * (feature % 2 == 0 ? 1.0 : 0.5)
mask = there[b, kv_idx]
gate = g[h, kv_idx]
)";

TEST(LinearKernels, AreClosedCodeForEveryTarget) {
  for (const plan::Isa isa :
       {plan::Isa::kX86_64, plan::Isa::kX86_64_V2, plan::Isa::kX86_64_V3, plan::Isa::kX86_64_V4, plan::Isa::kAArch64}) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF64}) {
      if (dtype != DType::kF32 && isa != plan::Isa::kX86_64_V4) continue;  // compiling takes most of the time
      SCOPED_TRACE(std::string(plan::name_of(isa)) + " " + std::string(name_of(dtype)));
      const support::Precision precision = dtype == DType::kF64 ? support::Precision::kFp64 : support::Precision::kFp32;
      plan::KernelRequest request{.program = program_of(kAll, precision),
                                  .nest = plan::Nest::kLinear,
                                  .types = {.q = dtype, .kv = dtype, .out = dtype},
                                  .weights = plan::Weights::kLinear,
                                  .head_dim = 20,
                                  .v_head_dim = 37,
                                  .linear = {.features = 50, .projected = true, .normalised = true}};
      EXPECT_FALSE(jit::compile(plan::plan_kernel(request, {isa, ""})).value().bytes.empty());
      request.nest = plan::Nest::kLinearRows;
      request.program = ir::simplify(ir::differentiate_features(request.program));
      EXPECT_FALSE(jit::compile(plan::plan_kernel(request, {isa, ""})).value().bytes.empty());
    }
  }
}

// What is not of the key's linear shape does not change the text of other kernels.
TEST(LinearKernels, HaveKeysOfTheirOwn) {
  const plan::KernelKey softmax = plan::plan_kernel({.program = {}, .head_dim = 8, .v_head_dim = 8}, plan::host_target());
  EXPECT_EQ(plan::canonical_text(softmax).find("features"), std::string::npos);
  plan::KernelRequest request{.program = program_of("feature = x", support::Precision::kFp32),
                              .nest = plan::Nest::kLinear,
                              .weights = plan::Weights::kLinear,
                              .head_dim = 8,
                              .v_head_dim = 8,
                              .linear = {.features = 8, .projected = false, .normalised = true}};
  const plan::KernelKey one = plan::plan_kernel(request, plan::host_target());
  request.linear.normalised = false;
  const plan::KernelKey other = plan::plan_kernel(request, plan::host_target());
  EXPECT_FALSE(one == other);
  EXPECT_NE(plan::canonical_text(one), plan::canonical_text(other));
}

}  // namespace
}  // namespace flexjit::test
