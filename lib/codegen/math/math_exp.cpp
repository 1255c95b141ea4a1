// Exponentials: x = n + f with |f| <= 1/2, a polynomial in f, times 2^n: vscalefps on AVX-512, elsewhere a multiplication by a
// power of two that the rounding itself has put together. Adding 1.5 * 2^23 rounds to an integer that then stands in the
// low bits of the sum, so a shift makes it an exponent field and no conversion is needed.
#include <llvm/IR/IntrinsicsX86.h>

#include <numbers>

#include "codegen/math/math_f64.h"
#include "codegen/math/vector_math.h"

namespace flexjit::codegen {
namespace {

// 2^f on [-1/2, 1/2], p(0) = 1: relative error 1e-4 (degree 3), 9.2e-8 (degree 5), 2e-9 (degree 6).
constexpr float kExp2Degree3[] = {1.0F, 0.693282962F, 0.242210999F, 0.0550087132F};
constexpr float kExp2Degree5[] = {
    1.0F, 0.6931469775972388F, 0.24022242084110668F, 0.05550733746010787F, 0.009671512697657779F, 0.0013264726368447668F};
constexpr float kExp2Degree6[] = {1.0F,           0.693147203F,   0.240226479F,   0.0555033247F,
                                  0.00961843736F, 0.00133988744F, 0.000153533618F};
// e^r on [-ln2/2, ln2/2]: relative error 3.1e-9.
constexpr float kExpDegree6[] = {1.0F, 1.0F, 0.49999994F, 0.166665211F, 0.0416682623F, 0.00836867001F, 0.0013820983F};

constexpr float kLog2E = 1.44269504088896F;
// ln 2 = hi + lo; hi has 9 trailing zero bits, so n * hi is exact for |n| < 512.
constexpr float kLn2Hi = 0.693145751953125F;
constexpr float kLn2Lo = 1.42860682030941723e-6F;

// 1.5 * 2^23, and with a bias that makes the low bits an exponent field, or twice one.
constexpr float kRound = 12582912.0F;
constexpr float kRoundBiased = kRound + 127.0F;
constexpr float kRoundTwiceBiased = kRound + 254.0F;

// For whole registers alone: the fp32 vectors of an fp64 kernel are half as wide.
bool has_scalef(Emitter& e, Float x) {
  return e.has(plan::kScalef) && Emitter::is_vector(x.value) && e.lanes() == plan::lanes_of(e.isa());
}

// x * 2^floor(n), n a float: one instruction that also settles -inf, NaN, overflow and gradual underflow.
Float emit_scalef(Emitter& e, Float x, Float n) {
  auto& ir = e.ir();
  return {ir.CreateIntrinsic(
      llvm::Intrinsic::x86_avx512_mask_scalef_ps_512, {},
      {x.value, n.value, llvm::Constant::getNullValue(x.value->getType()), ir.getInt16(0xffff), ir.getInt32(4)})};
}

Float exponent_field(Emitter& e, Int low_bits) { return e.bits_as_float(e.shl(low_bits, e.constant_int(23))); }

// x * 2^n for n = sum - kRoundTwiceBiased: two factors, each a normal number, so that only the second product rounds.
Float scale_by_rounded(Emitter& e, Float x, Float sum) {
  const Int bits = e.bits_as_int(sum);
  const Int half = e.shr(bits, e.constant_int(1));
  return e.mul(e.mul(x, exponent_field(e, half)), exponent_field(e, e.sub(bits, half)));
}

// 2^x by a polynomial for 2^f; see emit_exp2_fast for the range.
Float exp2_normal(Emitter& e, Float x, llvm::ArrayRef<float> coefficients) {
  if (has_scalef(e, x)) {
    const Float n = emit_round(e, x);
    return emit_scalef(e, emit_polynomial(e, e.sub(x, n), coefficients), n);
  }
  // At -127, and so for every x below it, f is 0 and the factor's exponent field too: exactly 0.
  const Float bounded = emit_at_least(e, x, -127.0F);
  const Float sum = e.add(bounded, e.constant(kRoundBiased));
  const Float f = e.sub(bounded, e.sub(sum, e.constant(kRoundBiased)));
  return e.mul(emit_polynomial(e, f, coefficients), exponent_field(e, e.bits_as_int(sum)));
}

}  // namespace

Float emit_polynomial(Emitter& e, Float x, llvm::ArrayRef<float> coefficients) {
  Float sum = e.constant(coefficients.back());
  if (Emitter::is_vector(x.value)) sum = e.broadcast(sum);
  for (float c : llvm::reverse(coefficients.drop_back())) sum = e.fma(sum, x, e.constant(c));
  return sum;
}

Float emit_scale_by_power(Emitter& e, Float x, Int n) {
  const Int biased = e.add(n, e.constant_int(254));
  const Int half = e.shr(biased, e.constant_int(1));
  return e.mul(e.mul(x, exponent_field(e, half)), exponent_field(e, e.sub(biased, half)));
}

Float emit_exp2_fast(Emitter& e, Float x) {
  if (is_f64(x)) return f64::emit_exp2(e, x);
  return exp2_normal(e, x, kExp2Degree5);
}
Float emit_exp2_coarse(Emitter& e, Float x) {
  if (is_f64(x)) return f64::emit_exp2(e, x);
  return exp2_normal(e, x, kExp2Degree3);
}

// The product x log2(e) is rounded to an integer and subtracted from in the same instructions that make it.
Float emit_exp_fast(Emitter& e, Float x) {
  if (is_f64(x) || has_scalef(e, x)) return emit_exp2_fast(e, e.mul(x, e.real(std::numbers::log2e)));
  const Float bounded = emit_at_least(e, x, -127.0F / kLog2E);
  const Float sum = e.fma(bounded, e.constant(kLog2E), e.constant(kRoundBiased));
  const Float n = e.sub(sum, e.constant(kRoundBiased));
  const Float f = e.fma(bounded, e.constant(kLog2E), e.neg(n));
  return e.mul(emit_polynomial(e, f, kExp2Degree5), exponent_field(e, e.bits_as_int(sum)));
}

Float emit_exp2(Emitter& e, Float x) {
  if (is_f64(x)) return f64::emit_exp2(e, x);
  if (has_scalef(e, x)) return exp2_normal(e, x, kExp2Degree6);
  const Float bounded = emit_at_least(e, emit_at_most(e, x, 129.0F), -151.0F);
  const Float sum = e.add(bounded, e.constant(kRoundTwiceBiased));
  const Float f = e.sub(bounded, e.sub(sum, e.constant(kRoundTwiceBiased)));
  return scale_by_rounded(e, emit_polynomial(e, f, kExp2Degree6), sum);
}

Float emit_exp(Emitter& e, Float x) {
  if (is_f64(x)) return f64::emit_exp(e, x);
  // Beyond these the result is inf or 0 whatever x.
  const Float bounded = emit_at_least(e, emit_at_most(e, x, 90.0F), -105.0F);
  const Float sum = e.fma(bounded, e.constant(kLog2E), e.constant(kRoundTwiceBiased));
  const Float n = e.sub(sum, e.constant(kRoundTwiceBiased));
  const Float r = e.fma(n, e.constant(-kLn2Lo), e.fma(n, e.constant(-kLn2Hi), bounded));
  const Float p = emit_polynomial(e, r, kExpDegree6);
  return has_scalef(e, x) ? emit_scalef(e, p, n) : scale_by_rounded(e, p, sum);
}

// 1 / (1 + 2^t) with t = -x log2(e); 2^t may reach inf, whose reciprocal is 0. vscalefps needs no bound for that.
Float emit_sigmoid(Emitter& e, Float x) {
  if (is_f64(x)) {
    const Float unit{llvm::ConstantFP::get(x.value->getType(), 1.0)};
    return e.div(unit, e.add(f64::emit_exp(e, e.neg(x)), unit));
  }
  Float t = e.mul(x, e.constant(-kLog2E));
  if (!has_scalef(e, x)) t = emit_at_most(e, t, 128.0F);
  const Float one = e.constant(1.0F);
  return e.div(one, e.add(emit_exp2_fast(e, t), one));
}

}  // namespace flexjit::codegen
