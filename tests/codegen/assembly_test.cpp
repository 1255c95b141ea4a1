// The assembly of the kernels of every target, BF16 among them: nothing is called, and the innermost loops keep what they
// compute with in registers.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "jit/listing/list_code.h"
#include "jit/object/compile.h"
#include "listing_checks.h"
#include "plan/kernel_key.h"
#include "support/checklist.h"
#include "support/sample.h"

namespace flexjit::test {
namespace {

using ir::Id;
using ir::Op;

// The innermost loops, by the names that the emitter gives their blocks. Sixteen registers do not hold the constants of
// several exponentials at once, so that loop is held to it only where there are 32 of 512 bits.
std::vector<std::string_view> inner_loops(const plan::Target& target) {
  if (target.isa == plan::Isa::kX86_64_V4) return {"qk", "pv", "exp"};
  return {"qk", "pv"};
}

const plan::Target kTargets[] = {{plan::Isa::kX86_64, "", false},    {plan::Isa::kX86_64_V2, "", false},
                                 {plan::Isa::kX86_64_V3, "", false}, {plan::Isa::kX86_64_V4, "", false},
                                 {plan::Isa::kX86_64_V4, "", true},  {plan::Isa::kAArch64, "", false}};

ir::Program dense() { return ir::ProgramBuilder().finish(Id{}, Id{}); }

// softcap, a slope and a window: 30 * tanh(score / 30) + slope[h] * (kv_idx - q_idx), q_idx - kv_idx < param.
ir::Program flagship() {
  ir::ProgramBuilder b;
  const std::uint32_t slope = b.add_buffer({DType::kF32, 1});
  const Id read_operands[] = {b.const_bool(true), b.variable(Op::kHead)};
  const Id distance = b.make(Op::kSub, {b.variable(Op::kKvIdx), b.variable(Op::kQIdx)});
  const Id capped = b.make(
      Op::kMul, {b.const_float(30.0F), b.make(Op::kTanh, {b.make(Op::kDiv, {b.variable(Op::kScore), b.const_float(30.0F)})})});
  const Id bias = b.make(Op::kMul, {b.read({slope, 0, false}, read_operands), b.make(Op::kIntToFloat, {distance})});
  const std::uint32_t window = b.add_param(ir::Type::kInt);
  const Id near = b.make(Op::kLt, {b.make(Op::kNeg, {distance}), b.param(window)});
  return std::move(b).finish(b.make(Op::kAdd, {capped, bias}), near);
}

// Every function and division by what the call brings.
ir::Program functions() {
  ir::ProgramBuilder b;
  Id score = b.variable(Op::kScore);
  for (Op op : {Op::kTanh, Op::kErf, Op::kSin, Op::kCos, Op::kExp, Op::kExp2, Op::kLog, Op::kLog2, Op::kLog1p, Op::kSqrt,
                Op::kFloor, Op::kCeil, Op::kRound}) {
    score = b.make(op, {score});
  }
  score = b.make(Op::kPow, {score, b.const_float(1.5F)});
  const Id kv = b.variable(Op::kKvIdx);
  for (Id divisor : {b.variable(Op::kNumHeads), b.variable(Op::kQIdx), b.const_int(7)}) {
    const Id whole = b.make(Op::kFloorDiv, {kv, divisor});
    const Id rest = b.make(Op::kMod, {kv, divisor});
    score = b.make(Op::kAdd, {score, b.make(Op::kIntToFloat, {b.make(Op::kSub, {whole, rest})})});
  }
  score = b.make(Op::kAdd, {score, b.make(Op::kIntToFloat, {b.make(Op::kFloatToInt, {score})})});
  return std::move(b).finish(score, Id{});
}

struct Form {
  plan::Nest nest = plan::Nest::kPrefill;
  DType dtype = DType::kF32;
};

constexpr Form kForms[] = {{},
                           {.dtype = DType::kBF16},
                           {.dtype = DType::kF64},
                           {.nest = plan::Nest::kDecode},
                           {.nest = plan::Nest::kDecode, .dtype = DType::kBF16}};

plan::CodeListing listing(const plan::Target& target, ir::Program program, const Form& form) {
  plan::KernelRequest request;
  request.program = std::move(program);
  request.nest = form.nest;
  request.types = {form.dtype, form.dtype, form.dtype};
  request.head_dim = request.v_head_dim = 64;
  return jit::list_code(plan::plan_kernel(std::move(request), target), plan::Costs::kNone).value();
}

class Assembly : public ::testing::TestWithParam<plan::Target> {};

TEST_P(Assembly, CallsNothing) {
  covers("X17");
  test::Sample sample;
  for (const Form& form : kForms) {
    for (const ir::Program& program : {dense(), flagship(), functions()}) {
      if (!sample.next()) continue;
      expect_no_calls(listing(GetParam(), program, form));
    }
  }
}

TEST_P(Assembly, InnerLoopsKeepTheirValuesInRegisters) {
  test::Sample sample;
  for (const Form& form : kForms) {
    SCOPED_TRACE(std::string(plan::name_of(form.nest)) + " " + std::string(name_of(form.dtype)));
    const bool decodes = form.nest == plan::Nest::kDecode;
    const std::vector<std::string_view> wanted = decodes ? std::vector<std::string_view>{"qk", "pv"} : inner_loops(GetParam());
    for (const ir::Program& program : {dense(), flagship()}) {
      if (!sample.next()) continue;
      expect_loops_in_registers(listing(GetParam(), program, form), wanted, decodes ? 2 : 0);
    }
  }
}

// Of the instructions of loops; spills are the allocator's own. Most must say it themselves.
TEST_P(Assembly, SaysWhatInstructionsOfLoopsAreFor) {
  test::Sample sample;
  for (const Form& form : kForms) {
    SCOPED_TRACE(std::string(plan::name_of(form.nest)) + " " + std::string(name_of(form.dtype)));
    for (const ir::Program& program : {dense(), flagship(), functions()}) {
      if (!sample.next()) continue;
      std::size_t all = 0, known = 0, inferred = 0;
      for (const plan::CodeFunction& function : listing(GetParam(), program, form).functions) {
        for (const plan::CodeBlock& block : function.blocks) {
          if (block.loop_depth == 0) continue;
          for (const plan::CodeInstruction& instruction : block.instructions) {
            ++all;
            known += instruction.from || instruction.is_spill ? 1 : 0;
            inferred += instruction.is_inferred ? 1 : 0;
          }
        }
      }
      EXPECT_GT(all, 100U);
      EXPECT_GE(static_cast<double>(known), 0.95 * static_cast<double>(all)) << known << " of " << all;
      EXPECT_LE(static_cast<double>(inferred), 0.3 * static_cast<double>(all)) << inferred << " of " << all;
    }
  }
}

// On AArch64 the first instructions of a function, which a debugger unwinds by, come in another order.
TEST_P(Assembly, IsTheSameWithDebugInformation) {
  plan::KernelRequest request;
  request.program = flagship();
  request.head_dim = request.v_head_dim = 64;
  plan::KernelKey key = plan::plan_kernel(std::move(request), GetParam());
  const plan::CodeImage plain = jit::compile(key).value();
  key.debug = plan::DebugSource{.files = {"/nowhere/pattern.flex"}, .nodes = {}};
  for (std::uint32_t i = 0; i < key.program.size(); ++i) key.debug->nodes.push_back(plan::SourcePosition{.line = 1 + i});
  const plan::CodeImage with_lines = jit::compile(key).value();
  EXPECT_EQ(plain.bytes.size(), with_lines.bytes.size());
  EXPECT_TRUE(GetParam().isa == plan::Isa::kAArch64 || plain.bytes == with_lines.bytes);
  EXPECT_TRUE(plain.debug_object.empty());
  EXPECT_FALSE(with_lines.debug_object.empty());
}

INSTANTIATE_TEST_SUITE_P(All, Assembly, ::testing::ValuesIn(kTargets), [](const auto& test) {
  std::string name = plan::name_of(test.param);
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

}  // namespace
}  // namespace flexjit::test
