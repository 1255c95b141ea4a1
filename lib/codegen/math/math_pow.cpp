// C's pow: |x|^y = 2^(y log2|x|) with the logarithm in fp64, whose spare bits keep large exponents accurate; then the edges.
#include <limits>

#include "codegen/math/math_f64.h"
#include "codegen/math/vector_math.h"

namespace flexjit::codegen {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// log2 of a positive normal fp32, in fp64, to about 1e-11: s = (m - 1) / (m + 1), 2/ln2 * (s + s^3/3 + ...), |s| < 0.172.
llvm::Value* log2_wide(Emitter& e, Float x) {
  auto& ir = e.ir();
  auto* f64 = e.shaped(ir.getDoubleTy(), x.value);
  const auto number = [&](double value) { return llvm::ConstantFP::get(f64, value); };
  const Int offset = e.constant_int(0x3f3504f3);
  const Int bits = e.sub(e.bits_as_int(x), offset);
  auto* k = ir.CreateSIToFP(e.shr(bits, e.constant_int(23)).value, f64);
  const Float m = e.bits_as_float(e.add(e.bit_and(bits, e.constant_int(0x007fffff)), offset));
  auto* wide = ir.CreateFPExt(m.value, f64);
  auto* s = ir.CreateFDiv(ir.CreateFSub(wide, number(1.0)), ir.CreateFAdd(wide, number(1.0)));
  auto* s2 = ir.CreateFMul(s, s);
  llvm::Value* series = number(1.0 / 13.0);
  for (double odd : {11.0, 9.0, 7.0, 5.0, 3.0, 1.0}) series = ir.CreateFAdd(ir.CreateFMul(series, s2), number(1.0 / odd));
  return ir.CreateFAdd(k, ir.CreateFMul(ir.CreateFMul(s, series), number(2.8853900817779268)));
}

// 2^t for t in fp64, |t| bounded first.
Float exp2_wide(Emitter& e, llvm::Value* t) {
  auto& ir = e.ir();
  auto* f64 = t->getType();
  const auto number = [&](double value) { return llvm::ConstantFP::get(f64, value); };
  t = ir.CreateSelect(ir.CreateFCmpOLT(t, number(250.0)), t, number(250.0));
  t = ir.CreateSelect(ir.CreateFCmpOGT(t, number(-250.0)), t, number(-250.0));
  auto* half = ir.CreateSelect(ir.CreateFCmpOLT(t, number(0.0)), number(-0.5), number(0.5));
  const Int n{ir.CreateFPToSI(ir.CreateFAdd(t, half), e.shaped(ir.getInt32Ty(), t))};
  auto* f = ir.CreateFSub(t, ir.CreateSIToFP(n.value, f64));
  const Float fraction{ir.CreateFPTrunc(f, e.shaped(ir.getFloatTy(), t))};
  return emit_scale_by_power(e, emit_exp2(e, fraction), n);
}

struct Exponent {
  Bool integral;
  Bool odd;
};

Exponent classify(Emitter& e, Float y) {
  const Bool integral = e.compare(FloatOrder::kEq, emit_floor(e, y), y);
  const Float half = e.mul(y, e.constant(0.5F));
  const Bool even = e.compare(FloatOrder::kEq, emit_floor(e, half), half);
  return {integral, e.logical_and(integral, e.logical_not(even))};
}

}  // namespace

Float emit_pow(Emitter& e, Float x, Float y) {
  auto& ir = e.ir();
  e.match(x, y);
  if (is_f64(x)) return f64::emit_pow(e, x, y);
  const Float zero = e.constant(0.0F);
  const Float one = e.constant(1.0F);
  const Float inf = e.constant(kInf);
  const Float magnitude = e.abs(x);
  const Bool subnormal = e.compare(FloatOrder::kLt, magnitude, e.constant(std::numeric_limits<float>::min()));
  const Float normal = e.select(subnormal, e.mul(magnitude, e.constant(8388608.0F)), magnitude);
  auto* f64 = e.shaped(ir.getDoubleTy(), x.value);
  auto* shift = ir.CreateSelect(subnormal.value, llvm::ConstantFP::get(f64, 23.0), llvm::ConstantFP::get(f64, 0.0));
  auto* log = ir.CreateFSub(log2_wide(e, normal), shift);
  Float result = exp2_wide(e, ir.CreateFMul(ir.CreateFPExt(y.value, f64), log));

  const Bool grows = e.compare(FloatOrder::kGt, y, zero);
  // |x| of 0 and inf, and |y| of inf, have limits of their own.
  result = e.select(e.compare(FloatOrder::kEq, magnitude, zero), e.select(grows, zero, inf), result);
  result = e.select(e.compare(FloatOrder::kEq, magnitude, inf), e.select(grows, inf, zero), result);
  const Bool above_one = e.compare(FloatOrder::kGt, magnitude, one);
  const Float at_infinity = e.select(e.logical_not(e.logical_xor(above_one, grows)), inf, zero);
  result = e.select(e.compare(FloatOrder::kEq, e.abs(y), inf), at_infinity, result);
  result = e.select(e.compare(FloatOrder::kEq, magnitude, one), one, result);

  const Exponent exponent = classify(e, y);
  const Int sign = e.bit_and(e.bits_as_int(x), e.constant_int(-2147483647 - 1));
  const Float negated = e.bits_as_float(e.bit_or(e.bits_as_int(result), sign));
  result = e.select(exponent.odd, negated, result);
  const Float nan = e.constant(std::numeric_limits<float>::quiet_NaN());
  const Bool finite_negative = e.logical_and(e.compare(FloatOrder::kLt, x, zero), e.compare(FloatOrder::kGt, x, e.neg(inf)));
  result = e.select(e.logical_and(finite_negative, e.logical_not(exponent.integral)), nan, result);
  result = e.select(e.compare(FloatOrder::kEq, x, x), result, x);
  result = e.select(e.compare(FloatOrder::kEq, y, y), result, y);
  // x^0 and 1^y are 1 for every x and y, NaN included.
  const Bool is_one = e.logical_or(e.compare(FloatOrder::kEq, x, one), e.compare(FloatOrder::kEq, y, zero));
  return e.select(is_one, one, result);
}

}  // namespace flexjit::codegen
