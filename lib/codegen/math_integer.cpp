// Floor division of int32: x86 has no vector integer division, and fp64 divides 32-bit integers exactly enough that
// truncation gives the true quotient. A constant divisor is left to LLVM's multiply-high sequence.
#include <llvm/IR/Constants.h>

#include "codegen/vector_math.h"

namespace flexjit::codegen {
namespace {

// a / b toward zero, for b != 0 and not (INT_MIN / -1).
Int truncated_quotient(Emitter& e, Int a, Int b) {
  auto& ir = e.ir();
  if (llvm::isa<llvm::Constant>(b.value)) return {ir.CreateSDiv(a.value, b.value)};
  auto* f64 = e.shaped(ir.getDoubleTy(), a.value);
  auto* quotient = ir.CreateFDiv(ir.CreateSIToFP(a.value, f64), ir.CreateSIToFP(b.value, f64));
  return {ir.CreateFPToSI(quotient, a.value->getType())};
}

Int same_shape(Emitter& e, Int x, Int shape) { return Emitter::is_vector(shape.value) ? e.broadcast(x) : x; }

struct Division {
  Int quotient;
  Int remainder;
};

// Floors: where the remainder is not zero and its sign is not the divisor's, the quotient is one less.
Division floor_divide(Emitter& e, Int a, Int b) {
  a = same_shape(e, a, b);
  b = same_shape(e, b, a);
  const Int one = e.constant_int(1);
  const Int zero = e.constant_int(0);
  const Bool by_zero = e.compare(llvm::CmpInst::ICMP_EQ, b, zero);
  const Bool by_minus_one = e.compare(llvm::CmpInst::ICMP_EQ, b, e.constant_int(-1));
  const Int safe = e.select(e.logical_or(by_zero, by_minus_one), one, b);
  const Int toward_zero = truncated_quotient(e, a, safe);
  const Int rest = e.sub(a, e.mul(toward_zero, safe));
  const Bool inexact = e.compare(llvm::CmpInst::ICMP_NE, rest, zero);
  const Bool signs_differ = e.compare(llvm::CmpInst::ICMP_SLT, e.bit_xor(rest, safe), zero);
  const Bool below = e.logical_and(inexact, signs_differ);
  Int quotient = e.select(below, e.sub(toward_zero, one), toward_zero);
  Int remainder = e.select(below, e.add(rest, safe), rest);
  quotient = e.select(by_minus_one, e.sub(zero, a), quotient);
  quotient = e.select(by_zero, zero, quotient);
  remainder = e.select(e.logical_or(by_zero, by_minus_one), zero, remainder);
  return {quotient, remainder};
}

}  // namespace

Int emit_floor_div(Emitter& e, Int a, Int b) { return floor_divide(e, a, b).quotient; }
Int emit_floor_mod(Emitter& e, Int a, Int b) { return floor_divide(e, a, b).remainder; }

}  // namespace flexjit::codegen
