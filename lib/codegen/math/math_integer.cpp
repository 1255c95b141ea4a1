// Floor division of int32, and of longs by the processor's own division. x86 has no vector integer division, so a divisor that
// is the same for all lanes becomes a multiplication by its reciprocal in 64 bits: the reciprocal is worked out by scalar
// instructions that are put where the divisor itself was computed, hence outside the loops over lanes. A constant divisor is
// left to LLVM's multiply-high sequence.
#include <llvm/IR/Constants.h>
#include <llvm/IR/Intrinsics.h>

#include <bit>

#include "codegen/math/vector_math.h"

namespace flexjit::codegen {
namespace {

struct Division {
  Int quotient;
  Int remainder;
};

// What the division by one scalar b needs of it; every field a scalar.
struct Divisor {
  Int magnitude;   // |b| as an unsigned number; 1 for b == 0
  Int multiplier;  // ceil(2^(31 + shift) / |b|), unsigned
  Int shift;       // ceil(log2 |b|)
  Int sign;        // -1 where b < 0, else 0
  Int nonzero;     // 0 where b == 0, else -1
};

// Exact for every u <= 2^31: with m = multiplier and d = |b|, m d - 2^(31 + shift) < d <= 2^shift, so u m / 2^(31 + shift)
// exceeds u / d by less than 1 / d.
Divisor emit_divisor(Emitter& e, Int b) {
  auto& ir = e.ir();
  const Int zero = e.constant_int(0);
  const Int one = e.constant_int(1);
  Divisor result;
  result.sign = e.shr(b, e.constant_int(31));
  result.nonzero = e.select(e.compare(llvm::CmpInst::ICMP_EQ, b, zero), zero, e.constant_int(-1));
  const Int magnitude = e.sub(e.bit_xor(b, result.sign), result.sign);
  result.magnitude = e.select(e.compare(llvm::CmpInst::ICMP_EQ, b, zero), one, magnitude);
  const Int below = e.sub(result.magnitude, one);
  const Int leading{ir.CreateBinaryIntrinsic(llvm::Intrinsic::ctlz, below.value, ir.getFalse())};
  result.shift = e.sub(e.constant_int(32), leading);
  auto* wide_shift = ir.CreateZExt(e.add(result.shift, e.constant_int(31)).value, ir.getInt64Ty());
  auto* power = ir.CreateShl(ir.getInt64(1), wide_shift);
  auto* dividend = ir.CreateAdd(power, ir.CreateZExt(below.value, ir.getInt64Ty()));
  auto* multiplier = ir.CreateUDiv(dividend, ir.CreateZExt(result.magnitude.value, ir.getInt64Ty()));
  result.multiplier = Int{ir.CreateTrunc(multiplier, ir.getInt32Ty())};
  return result;
}

// The divisor's fields right behind the instruction that defines it.
Divisor emit_divisor_at_definition(Emitter& e, Int b) {
  auto& ir = e.ir();
  const llvm::IRBuilderBase::InsertPointGuard guard(ir);
  if (auto* instruction = llvm::dyn_cast<llvm::Instruction>(b.value)) {
    // None: it is the last of a block that is not finished.
    if (const auto after = instruction->getInsertionPointAfterDef()) {
      ir.SetInsertPoint(*after);
    } else {
      ir.SetInsertPoint(instruction->getParent());
    }
  } else {
    auto& entry = ir.GetInsertBlock()->getParent()->getEntryBlock();
    ir.SetInsertPoint(&entry, entry.getFirstInsertionPt());
  }
  return emit_divisor(e, b);
}

// (u * m) >> 31 for a vector u and a scalar m, both unsigned; the result fits 32 bits.
Int multiply_shift_31(Emitter& e, Int u, Int m) {
  auto& ir = e.ir();
  const auto lanes = static_cast<unsigned>(e.lanes());
  const auto wide = [&](llvm::Value* x, unsigned n) {
    return ir.CreateZExt(x, llvm::FixedVectorType::get(ir.getInt64Ty(), n));
  };
  if (e.has(plan::kWideMultiply)) {
    auto* product = ir.CreateMul(wide(u.value, lanes), wide(e.broadcast(m).value, lanes));
    return {ir.CreateTrunc(ir.CreateLShr(product, std::uint64_t{31}), u.value->getType())};
  }
  // vpmuludq multiplies the even lanes; the odd ones are shifted into their place and back.
  auto* pairs = llvm::FixedVectorType::get(ir.getInt64Ty(), lanes / 2);
  const auto low = [&](llvm::Value* x) { return ir.CreateAnd(x, llvm::ConstantInt::get(pairs, 0xffffffffU)); };
  auto* factor = low(ir.CreateBitCast(e.broadcast(m).value, pairs));
  auto* packed = ir.CreateBitCast(u.value, pairs);
  auto* even = ir.CreateMul(low(packed), factor);
  auto* odd = ir.CreateMul(ir.CreateLShr(packed, std::uint64_t{32}), factor);
  auto* even_result = ir.CreateBitCast(ir.CreateLShr(even, std::uint64_t{31}), u.value->getType());
  auto* odd_result = ir.CreateBitCast(ir.CreateShl(odd, std::uint64_t{1}), u.value->getType());
  llvm::SmallVector<int, 16> merge;
  for (int i = 0; i < e.lanes(); ++i) merge.push_back(i % 2 == 0 ? i : i + e.lanes());
  return {ir.CreateShuffleVector(even_result, odd_result, merge)};
}

// v = a for b > 0 and a - 1 for b < 0 turns both into a floor by |b|: floor(a / b) = v >= 0 ? v / |b| : ~(~v / |b|), negated
// bit by bit for b < 0. Whether v < 0 is read off v | a, which is right where a - 1 wraps, too.
struct Folded {
  Int magnitude;  // v or ~v, an unsigned number of at most 2^31
  Int flip;       // what the quotient is to be xored with
};

Folded fold_signs(Emitter& e, Int a, Int divisor_sign) {
  const Int v = e.add(a, divisor_sign);
  const Int negative = e.shr(e.bit_or(v, a), e.constant_int(31));
  return {e.bit_xor(v, negative), e.bit_xor(negative, divisor_sign)};
}

Division finish(Emitter& e, Int a, Int b, Int quotient) { return {quotient, e.sub(a, e.mul(quotient, b))}; }

Division divide_by_scalar(Emitter& e, Int a, Int b) {
  const Divisor divisor = emit_divisor_at_definition(e, b);
  const Folded folded = fold_signs(e, a, divisor.sign);
  const Int product = multiply_shift_31(e, folded.magnitude, divisor.multiplier);
  const Int magnitude{e.ir().CreateLShr(product.value, e.broadcast(divisor.shift).value)};
  const Int quotient = e.bit_and(e.bit_xor(magnitude, folded.flip), divisor.nonzero);
  const Division division = finish(e, a, b, quotient);
  return {division.quotient, e.bit_and(division.remainder, divisor.nonzero)};
}

Division divide_by_constant(Emitter& e, Int a, std::int32_t b) {
  if (b == 0) {
    const Int zero = Emitter::is_vector(a.value) ? e.broadcast(e.constant_int(0)) : e.constant_int(0);
    return {zero, zero};
  }
  if (b > 0 && (b & (b - 1)) == 0) {
    const Int shift = e.constant_int(std::countr_zero(static_cast<std::uint32_t>(b)));
    return {e.shr(a, shift), e.bit_and(a, e.constant_int(b - 1))};
  }
  const Folded folded = fold_signs(e, a, e.constant_int(b < 0 ? -1 : 0));
  const auto magnitude = b < 0 ? 0U - static_cast<std::uint32_t>(b) : static_cast<std::uint32_t>(b);
  auto* divisor = llvm::ConstantInt::get(a.value->getType(), magnitude);
  const Int quotient = e.bit_xor(Int{e.ir().CreateUDiv(folded.magnitude.value, divisor)}, folded.flip);
  return finish(e, a, e.constant_int(b), quotient);
}

// A divisor of its own in every lane: fp64 divides 32-bit integers exactly enough that truncation gives the true quotient.
// Floors: where the remainder is not zero and its sign is not the divisor's, the quotient is one less.
Division divide_lane_by_lane(Emitter& e, Int a, Int b) {
  auto& ir = e.ir();
  const Int one = e.constant_int(1);
  const Int zero = e.constant_int(0);
  const Bool by_zero = e.compare(llvm::CmpInst::ICMP_EQ, b, zero);
  const Bool by_minus_one = e.compare(llvm::CmpInst::ICMP_EQ, b, e.constant_int(-1));
  const Int safe = e.select(e.logical_or(by_zero, by_minus_one), one, b);
  auto* f64 = e.shaped(ir.getDoubleTy(), a.value);
  auto* ratio = ir.CreateFDiv(ir.CreateSIToFP(a.value, f64), ir.CreateSIToFP(safe.value, f64));
  const Int toward_zero{ir.CreateFPToSI(ratio, a.value->getType())};
  const Int rest = e.sub(a, e.mul(toward_zero, safe));
  const Bool inexact = e.compare(llvm::CmpInst::ICMP_NE, rest, zero);
  const Bool signs_differ = e.compare(llvm::CmpInst::ICMP_SLT, e.bit_xor(rest, safe), zero);
  const Bool below = e.logical_and(inexact, signs_differ);
  Int quotient = e.select(below, e.sub(toward_zero, one), toward_zero);
  quotient = e.select(by_minus_one, e.sub(zero, a), quotient);
  quotient = e.select(by_zero, zero, quotient);
  const Division division = finish(e, a, b, quotient);
  return {quotient, e.select(by_zero, zero, division.remainder)};
}

// By one instruction a lane; a constant power of two is a shift.
Division divide_longs(Emitter& e, Int a, Int b) {
  auto& ir = e.ir();
  const Int zero = e.constant_like(a, 0), one = e.constant_like(a, 1);
  const auto* constant = llvm::dyn_cast<llvm::ConstantInt>(b.value);
  if (constant != nullptr && constant->getValue().isStrictlyPositive() && constant->getValue().isPowerOf2()) {
    const std::int64_t divisor = constant->getSExtValue();
    const Int shift = e.constant_like(a, std::countr_zero(static_cast<std::uint64_t>(divisor)));
    return {e.shr(a, shift), e.bit_and(a, e.constant_like(a, divisor - 1))};
  }
  e.match(a, b);
  const Bool by_zero = e.compare(llvm::CmpInst::ICMP_EQ, b, zero);
  const Bool by_minus_one = e.compare(llvm::CmpInst::ICMP_EQ, b, e.constant_like(a, -1));
  const Int safe = e.select(e.logical_or(by_zero, by_minus_one), one, b);
  const Int toward_zero{ir.CreateSDiv(a.value, safe.value)};
  const Int rest = e.sub(a, e.mul(toward_zero, safe));
  const Bool inexact = e.compare(llvm::CmpInst::ICMP_NE, rest, zero);
  const Bool signs_differ = e.compare(llvm::CmpInst::ICMP_SLT, e.bit_xor(rest, safe), zero);
  const Bool below = e.logical_and(inexact, signs_differ);
  Int quotient = e.select(below, e.sub(toward_zero, one), toward_zero);
  quotient = e.select(by_minus_one, e.sub(zero, a), quotient);
  const Bool nothing = e.logical_or(by_zero, by_minus_one);
  return {e.select(by_zero, zero, quotient), e.select(nothing, zero, e.select(below, e.add(rest, safe), rest))};
}

Division floor_divide(Emitter& e, Int a, Int b) {
  if (Emitter::is_long(a)) return divide_longs(e, a, b);
  if (const auto* constant = llvm::dyn_cast<llvm::ConstantInt>(b.value)) {
    return divide_by_constant(e, a, static_cast<std::int32_t>(constant->getSExtValue()));
  }
  if (Emitter::is_vector(a.value) && !Emitter::is_vector(b.value)) return divide_by_scalar(e, a, b);
  if (Emitter::is_vector(b.value)) a = e.broadcast(a);
  return divide_lane_by_lane(e, a, b);
}

}  // namespace

Int emit_floor_div(Emitter& e, Int a, Int b) { return floor_divide(e, a, b).quotient; }
Int emit_floor_mod(Emitter& e, Int a, Int b) { return floor_divide(e, a, b).remainder; }

}  // namespace flexjit::codegen
