// Exponentials: x = n + f with |f| <= 1/2, a polynomial in f, then n added into the exponent (vscalefps on AVX-512).
#include <llvm/IR/IntrinsicsX86.h>

#include "codegen/vector_math.h"

namespace flexjit::codegen {
namespace {

// 2^f on [-1/2, 1/2], p(0) = 1: relative error 9.2e-8 (degree 5), 2e-9 (degree 6).
constexpr float kExp2Degree5[] = {
    1.0F, 0.6931469775972388F, 0.24022242084110668F, 0.05550733746010787F, 0.009671512697657779F, 0.0013264726368447668F};
constexpr float kExp2Degree6[] = {1.0F,           0.693147203F,   0.240226479F,   0.0555033247F,
                                  0.00961843736F, 0.00133988744F, 0.000153533618F};
// (e^r - 1 - r) / r^2 on [-ln2/2, ln2/2]: error 5e-11.
constexpr float kExpTail[] = {0.500000007F, 0.166666659F, 0.0416662949F, 0.00833349707F, 0.00139446597F, 0.000197903419F};

constexpr float kLog2E = 1.44269504088896F;
// ln 2 = hi + lo; hi has 9 trailing zero bits, so n * hi is exact for |n| < 512.
constexpr float kLn2Hi = 0.693145751953125F;
constexpr float kLn2Lo = 1.42860682030941723e-6F;

bool has_scalef(Emitter& e, Float x) { return e.isa() == plan::Isa::kX86_64_V4 && Emitter::is_vector(x.value); }

// x * 2^floor(n), n a float: one instruction that also settles -inf, NaN, overflow and gradual underflow.
Float emit_scalef(Emitter& e, Float x, Float n) {
  auto& ir = e.ir();
  return {ir.CreateIntrinsic(
      llvm::Intrinsic::x86_avx512_mask_scalef_ps_512, {},
      {x.value, n.value, llvm::Constant::getNullValue(x.value->getType()), ir.getInt16(0xffff), ir.getInt32(4)})};
}

// Limits n so that it fits the exponent arithmetic; NaN stays out of the conversion to int.
Float clamp_exponent(Emitter& e, Float n) {
  const Float limit = e.constant(300.0F);
  return e.max(e.min(n, limit), e.neg(limit));
}

}  // namespace

Float emit_polynomial(Emitter& e, Float x, llvm::ArrayRef<float> coefficients) {
  Float sum = e.constant(coefficients.back());
  if (Emitter::is_vector(x.value)) sum = e.broadcast(sum);
  for (float c : llvm::reverse(coefficients.drop_back())) sum = e.fma(sum, x, e.constant(c));
  return sum;
}

Float emit_scale_by_power(Emitter& e, Float x, Int n) {
  // Three factors, each a normal power of two, so that neither overflow nor underflow happens before its time.
  const Int third = e.shr(e.mul(n, e.constant_int(21846)), e.constant_int(16));
  const auto power = [&](Int k) { return e.bits_as_float(e.shl(e.add(k, e.constant_int(127)), e.constant_int(23))); };
  const Int rest = e.sub(n, e.add(third, third));
  return e.mul(e.mul(e.mul(x, power(third)), power(third)), power(rest));
}

Float emit_exp2_fast(Emitter& e, Float x) {
  if (has_scalef(e, x)) {
    const Float n = emit_round(e, x);
    return emit_scalef(e, emit_polynomial(e, e.sub(x, n), kExp2Degree5), n);
  }
  const Float lowest = e.constant(-126.0F);
  const Bool underflow = e.compare(FloatOrder::kLt, x, lowest);
  const Float bounded = e.select(underflow, lowest, x);
  const Float n = emit_round(e, bounded);
  const Float p = emit_polynomial(e, e.sub(bounded, n), kExp2Degree5);
  // Of a NaN, p is already NaN; only the conversion to int must not see it.
  const Int exponent = e.shl(e.to_int(e.select(e.compare(FloatOrder::kEq, n, n), n, e.constant(0.0F))), e.constant_int(23));
  const Float scaled = e.bits_as_float(e.add(e.bits_as_int(p), exponent));
  return e.select(underflow, e.constant(0.0F), scaled);
}

Float emit_exp2(Emitter& e, Float x) {
  if (has_scalef(e, x)) {
    const Float n = emit_round(e, x);
    return emit_scalef(e, emit_polynomial(e, e.sub(x, n), kExp2Degree6), n);
  }
  const Float bounded = clamp_exponent(e, x);
  const Float n = emit_round(e, bounded);
  const Float p = emit_polynomial(e, e.sub(bounded, n), kExp2Degree6);
  const Float result = emit_scale_by_power(e, p, e.to_int(n));
  return e.select(e.compare(FloatOrder::kEq, x, x), result, x);
}

Float emit_exp(Emitter& e, Float x) {
  const bool scalef = has_scalef(e, x);
  // Beyond +-200 the result is inf or 0 whatever x; the bound keeps inf - inf out of the reduction.
  const Float bounded = e.max(e.min(x, e.constant(200.0F)), e.constant(-200.0F));
  const Float n = emit_round(e, e.mul(bounded, e.constant(kLog2E)));
  const Float r = e.fma(n, e.constant(-kLn2Lo), e.fma(n, e.constant(-kLn2Hi), bounded));
  const Float tail = emit_polynomial(e, r, kExpTail);
  const Float p = e.add(e.fma(e.mul(r, r), tail, r), e.constant(1.0F));
  const Float result = scalef ? emit_scalef(e, p, n) : emit_scale_by_power(e, p, e.to_int(n));
  return e.select(e.compare(FloatOrder::kEq, x, x), result, x);
}

}  // namespace flexjit::codegen
