// Rounding: one instruction where the target has it; on SSE2, whose rounding would be a libm call, by way of int32.
#include <llvm/IR/Intrinsics.h>

#include "codegen/math/math_f64.h"
#include "codegen/math/vector_math.h"

namespace flexjit::codegen {
namespace {

constexpr float kAllIntegral = 8388608.0F;  // 2^23: every larger float is an integer

// Rounds small x by `round_small`; larger values, infinities and NaN are already integral.
Float round_below(Emitter& e, Float x, llvm::function_ref<Float(Float)> round_small) {
  const Bool small = e.compare(FloatOrder::kLt, e.abs(x), e.constant(kAllIntegral));
  const Float rounded = round_small(e.select(small, x, e.constant(0.0F)));
  return e.select(small, emit_copy_sign(e, rounded, x), x);
}

Float truncate_small(Emitter& e, Float x) { return e.to_float(e.to_int(x)); }

Float unary(Emitter& e, llvm::Intrinsic::ID id, Float x) { return {e.ir().CreateUnaryIntrinsic(id, x.value)}; }

}  // namespace

Float emit_floor(Emitter& e, Float x) {
  if (is_f64(x)) return f64::emit_floor(e, x);
  if (e.has(plan::kRounding)) return unary(e, llvm::Intrinsic::floor, x);
  return round_below(e, x, [&](Float small) {
    const Float t = truncate_small(e, small);
    return e.select(e.compare(FloatOrder::kGt, t, small), e.sub(t, e.constant(1.0F)), t);
  });
}

Float emit_ceil(Emitter& e, Float x) {
  if (is_f64(x)) return f64::emit_ceil(e, x);
  if (e.has(plan::kRounding)) return unary(e, llvm::Intrinsic::ceil, x);
  return round_below(e, x, [&](Float small) {
    const Float t = truncate_small(e, small);
    return e.select(e.compare(FloatOrder::kLt, t, small), e.add(t, e.constant(1.0F)), t);
  });
}

Float emit_round(Emitter& e, Float x) {
  if (is_f64(x)) return f64::emit_round(e, x);
  if (e.has(plan::kRounding)) return unary(e, llvm::Intrinsic::roundeven, x);
  // |x| + 2^23 leaves no fraction bits: the hardware rounds to nearest even.
  return round_below(
      e, x, [&](Float small) { return e.sub(e.add(e.abs(small), e.constant(kAllIntegral)), e.constant(kAllIntegral)); });
}

Int emit_float_to_int(Emitter& e, Float x) {
  if (is_f64(x)) return f64::emit_float_to_int(e, x);
  const Float limit = e.constant(2147483648.0F);
  const Bool high = e.compare(FloatOrder::kGe, x, limit);
  const Bool low = e.compare(FloatOrder::kLt, x, e.neg(limit));
  const Bool inside = e.logical_and(e.compare(FloatOrder::kLt, x, limit), e.compare(FloatOrder::kGe, x, e.neg(limit)));
  const Int converted = e.to_int(e.select(inside, x, e.constant(0.0F)));
  const Int clamped = e.select(high, e.constant_int(2147483647), converted);
  return e.select(low, e.constant_int(-2147483647 - 1), clamped);
}

// x86's minps and maxps give the second operand of a NaN pair; NEON has instructions that hand NaN on.
Float emit_at_most(Emitter& e, Float x, float limit) {
  if (!e.has(plan::kNanMinMax)) return e.min(e.constant(limit), x);
  auto* bound = llvm::ConstantFP::get(x.value->getType(), static_cast<double>(limit));
  return {e.ir().CreateBinaryIntrinsic(llvm::Intrinsic::minimum, x.value, bound)};
}

Float emit_at_least(Emitter& e, Float x, float limit) {
  if (!e.has(plan::kNanMinMax)) return e.max(e.constant(limit), x);
  auto* bound = llvm::ConstantFP::get(x.value->getType(), static_cast<double>(limit));
  return {e.ir().CreateBinaryIntrinsic(llvm::Intrinsic::maximum, x.value, bound)};
}

Float emit_copy_sign(Emitter& e, Float x, Float sign) {
  if (is_f64(x)) return f64::emit_copy_sign(e, x, sign);
  const Int magnitude = e.bit_and(e.bits_as_int(x), e.constant_int(0x7fffffff));
  const Int bit = e.bit_and(e.bits_as_int(sign), e.constant_int(-2147483647 - 1));
  return e.bits_as_float(e.bit_or(magnitude, bit));
}

}  // namespace flexjit::codegen
