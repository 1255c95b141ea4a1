// The rare path of a checked read: which lane, which dimension, which index, into the launcher's FaultArg.
#include <llvm/IR/Intrinsics.h>

#include <cstddef>

#include "codegen/program/expression.h"
#include "plan/kernel_abi.h"

namespace flexjit::codegen {

using ir::Id;
using ir::Op;
using plan::FaultArg;

Bool ExpressionEmitter::faulty_lanes(const Scope& scope, Id id) {
  Bool outside = e_.logical_not(Bool{scope.flag[id.index]});
  llvm::Value* guard = scope.value[program_.operand(id, 0).index];
  if (hoisting_.late_guard[id.index] && guard != nullptr) outside = e_.logical_and(outside, Bool{guard});
  return scope.active ? e_.logical_and(outside, scope.active) : outside;
}

llvm::SmallVector<ExpressionEmitter::Bound, 8> ExpressionEmitter::bounds(const Scope& scope, Id id) const {
  llvm::SmallVector<Bound, 8> result;
  const auto append = [&](std::uint32_t slot, std::size_t first, std::size_t count) {
    const auto index = indices(scope, id, first, count);
    for (std::size_t d = 0; d < count; ++d) result.push_back({index[d], buffers_[slot].extents[d]});
  };
  if (program_.node(id).op == Op::kRead) {
    append(program_.read(id).buffer, 1, program_.operands(id).size() - 1);
  } else {
    const ir::DotInfo& info = program_.dot(id);
    const std::size_t a_count = buffers_[info.buffer_a].strides.size() - 1;
    append(info.buffer_a, 1, a_count);
    append(info.buffer_b, 1 + a_count, buffers_[info.buffer_b].strides.size() - 1);
  }
  return result;
}

// if (!fault->raised) { lane = first faulty; *fault = {1, site, first dimension outside, its index}; }
void ExpressionEmitter::emit_fault_report(const Scope& scope, Id id, Bool faulty, Ptr fault) {
  auto& ir = e_.ir();
  const Int raised = e_.load_int(e_.at_byte(fault, offsetof(FaultArg, raised)));
  e_.if_then("fault.first", e_.compare(llvm::CmpInst::ICMP_EQ, raised, e_.constant_int(0)), [&] {
    llvm::Value* lane = ir.getInt32(0);
    if (Emitter::is_vector(faulty.value)) {
      auto* bits = ir.CreateBitCast(faulty.value, ir.getIntNTy(static_cast<unsigned>(e_.lanes())));
      lane = ir.CreateBinaryIntrinsic(llvm::Intrinsic::cttz, ir.CreateZExt(bits, ir.getInt32Ty()), ir.getInt1(false));
    }
    Int dimension = e_.constant_int(0);
    Int index = e_.constant_int(0);
    const auto all = bounds(scope, id);
    for (std::size_t d = all.size(); d-- > 0;) {
      Int here = all[d].index;
      if (Emitter::is_vector(here.value)) here = Int{ir.CreateExtractElement(here.value, lane)};
      const Bool outside = e_.compare(llvm::CmpInst::ICMP_UGE, here, all[d].extent);
      dimension = e_.select(outside, e_.constant_int(static_cast<std::int32_t>(d)), dimension);
      index = e_.select(outside, here, index);
    }
    const std::uint32_t site = program_.node(id).op == Op::kRead ? program_.read(id).site : program_.dot(id).site;
    e_.store(ir.getInt32(1), e_.at_byte(fault, offsetof(FaultArg, raised)));
    e_.store(ir.getInt32(site), e_.at_byte(fault, offsetof(FaultArg, site)));
    e_.store(dimension.value, e_.at_byte(fault, offsetof(FaultArg, dimension)));
    e_.store(e_.widen(index).value, e_.at_byte(fault, offsetof(FaultArg, index)), 8);
  });
}

}  // namespace flexjit::codegen
