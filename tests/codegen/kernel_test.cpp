// What must hold of every compiled kernel as an artefact: a function of its key alone, whatever thread compiles it.
#include <gtest/gtest.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/Support/raw_ostream.h>

#include <algorithm>
#include <thread>

#include "codegen/kernel.h"
#include "jit/object/compile.h"
#include "plan/kernel_abi.h"
#include "support/every_op.h"

namespace flexjit::test {
namespace {

using ir::Id;
using ir::Op;

const plan::Isa kIsas[] = {plan::Isa::kX86_64, plan::Isa::kX86_64_V2, plan::Isa::kX86_64_V3, plan::Isa::kX86_64_V4,
                           plan::Isa::kAArch64};

// slope[h] * (kv_idx - q_idx) under a causal mask, with tanh and every heavy function once.
ir::Program busy_program() {
  ir::ProgramBuilder b;
  const std::uint32_t slope = b.add_buffer({DType::kF32, 1});
  const Id read_operands[] = {b.const_bool(true), b.variable(Op::kHead)};
  const Id distance = b.make(Op::kSub, {b.variable(Op::kKvIdx), b.variable(Op::kQIdx)});
  Id score =
      b.make(Op::kAdd, {b.variable(Op::kScore),
                        b.make(Op::kMul, {b.read({slope, 0, true}, read_operands), b.make(Op::kIntToFloat, {distance})})});
  for (Op op : {Op::kTanh, Op::kErf, Op::kSin, Op::kCos, Op::kExp, Op::kExp2, Op::kLog1p, Op::kFloor})
    score = b.make(op, {score});
  score = b.make(Op::kPow, {score, b.const_float(1.5F)});
  const Id mask = b.make(Op::kGe, {b.variable(Op::kQIdx), b.variable(Op::kKvIdx)});
  return std::move(b).finish(score, mask);
}

std::string text_of(const plan::KernelKey& key) {
  llvm::LLVMContext context;
  std::string text;
  llvm::raw_string_ostream out(text);
  codegen::emit_kernel(context, key)->print(out, nullptr);
  return text;
}

class Kernel : public ::testing::TestWithParam<plan::Isa> {
 protected:
  plan::Target target() const { return {GetParam(), ""}; }
};

TEST_P(Kernel, IsAFunctionOfItsKey) {
  const plan::KernelKey key = plan::plan_kernel({.program = busy_program(), .head_dim = 40, .v_head_dim = 24}, target());
  EXPECT_EQ(text_of(key), text_of(key));
  const auto first = jit::compile(key).value();
  const auto second = jit::compile(key).value();
  EXPECT_EQ(first.bytes, second.bytes);
  EXPECT_EQ(first.key_text, plan::canonical_text(key));
}

// In both nests, of which prefill asks for ranges of masks as well.
TEST(EveryOp, HasInstructions) {
  for (const auto& [name, program] : every_op()) {
    SCOPED_TRACE(name);
    for (plan::Nest nest : {plan::Nest::kPrefill, plan::Nest::kDecode}) {
      plan::KernelRequest request{.program = program, .head_dim = 16, .v_head_dim = 16};
      request.nest = nest;
      EXPECT_NO_THROW(text_of(plan::plan_kernel(std::move(request), plan::host_target())));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Kernel, ::testing::ValuesIn(kIsas), [](const auto& test) {
  std::string name(plan::name_of(test.param));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(Compile, WorksFromSeveralThreadsAtOnce) {
  const plan::KernelKey key =
      plan::plan_kernel({.program = busy_program(), .head_dim = 16, .v_head_dim = 16}, plan::host_target());
  const auto expected = jit::compile(key).value();
  std::vector<std::thread> threads;
  std::vector<std::vector<std::uint8_t>> results(3);
  for (auto& result : results) threads.emplace_back([&] { result = jit::compile(key).value().bytes; });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected.bytes);
}

}  // namespace
}  // namespace flexjit::test
