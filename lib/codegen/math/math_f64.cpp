// fp64 exponentials, logarithms, tanh, erf and powers, by the reductions of their fp32 counterparts with longer polynomials.
#include <limits>

#include "codegen/math/math_f64_internal.h"

namespace flexjit::codegen::f64 {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kLog2E = 1.4426950408889634;
// 1 / ln 2 and ln 2 in two parts; ln 2's first has 21 trailing zero bits, so its product with an exponent is exact.
constexpr double kLog2ELo = 2.0355273740931033e-17;
constexpr double kLn2Hi = 0.6931471803691238;
constexpr double kLn2Lo = 1.9082149292705877e-10;

// (2^f - 1) / f on [-1/2, 1/2]: error 5e-17.
constexpr double kExpm1[] = {0.6931471805599453,     0.24022650695910072,    0.055504108664821625,   0.009618129107628434,
                             0.0013333558146406653,  0.00015403530393474089, 1.5252733841353596e-05, 1.3215486714098714e-06,
                             1.0178057180668151e-07, 7.05493518162828e-09,   4.455803032219998e-10,  2.5674189229715864e-11};
// (e^r - 1 - r) / r^2 on [-ln2/2, ln2/2]: error 2e-18 of e^r.
constexpr double kExpTail[] = {0.5,
                               0.16666666666666685,
                               0.041666666666665776,
                               0.008333333333316597,
                               0.001388888888922092,
                               0.00019841269897334714,
                               2.480158676867849e-05,
                               2.755723400105895e-06,
                               2.755769193962958e-07,
                               2.5112314553413735e-08,
                               2.0797638664678626e-09};
// (ln((1 + s) / (1 - s)) - 2s) / s^3 in s^2 for the m of emit_log: error 4e-19.
constexpr double kLogTail[] = {0.6666666666666666,  0.4000000000000634,  0.28571428569064156, 0.22222222649324908,
                               0.18181775502454522, 0.15387096687880594, 0.13250004152827619, 0.13252230040184004};
// erf(x) / x = 2 / sqrt(pi) + x^2 P(x^2) on [0, 1]: error 8e-18.
constexpr double kTwoOverRootPi = 1.1283791670955126;
constexpr double kErfSmall[] = {-0.37612638903183754,   0.11283791670955126,    -0.026866170645131214,   0.0052239776254416346,
                                -0.0008548327023399858, 0.00012055332978718066, -1.4925650231335872e-05, 1.6462110645021359e-06,
                                -1.636576630013653e-07, 1.480599888077538e-08,  -1.2277500809880891e-09, 9.322459766581047e-11,
                                -6.192710702869591e-12, 2.800985806484644e-13};
// log2(erfc(x)) in t = (2x - 7) / 5 on [1, 6]: error 7e-17 of erf.
constexpr double kLog2Erfc[] = {
    -20.359943454935102,    -26.206914606849637,     -8.717061486503738,     -0.11779736249064666,    0.04923688964009915,
    -0.020752517107009007,  0.008589370327616225,    -0.0034249860872714267, 0.0012891703986416343,   -0.00044371997990663004,
    0.00013214582057289936, -2.6171020549653014e-05, -5.478751664325016e-06, -2.1341792065988764e-06, -1.26861162218426e-05,
    7.103954607648078e-06,  1.7331830544414446e-05,  2.1928074384688615e-05, 1.1945981555794414e-05,  2.5914042021202093e-06,
    -7.286856166946192e-07, -4.099306818272134e-07};

// x * 2^n for n = sum - (kRound + 2046): two factors, each a normal number, so that only the second product rounds.
Float scale_by_rounded(Emitter& e, const Shaped& s, Float x, Float sum) {
  auto& ir = e.ir();
  auto* bits = s.bits_of(sum);
  auto* half = ir.CreateLShr(bits, s.bits(1));
  const auto power = [&](llvm::Value* field) { return s.from_bits(ir.CreateShl(field, s.bits(52))); };
  return e.mul(e.mul(x, power(half)), power(ir.CreateSub(bits, half)));
}

// x = 2^k m with m in [sqrt(1/2), sqrt(2)), ln m = 2 s + s^3 P(s^2) with s = (m - 1) / (m + 1).
struct Decomposed {
  Float k;
  Float log_m;
};

Decomposed decompose(Emitter& e, Float x) {
  auto& ir = e.ir();
  const Shaped s(e, x);
  const Bool subnormal = e.compare(FloatOrder::kLt, x, s.number(std::numeric_limits<double>::min()));
  const Float normal = e.select(subnormal, e.mul(x, s.number(0x1p54)), x);
  // Subtracting sqrt(1/2)'s bits makes the exponent field count from there; a bias of 2048 keeps it above 0.
  constexpr std::uint64_t kOffset = 0x3fe6a09e00000000;
  auto* bits = ir.CreateSub(s.bits_of(normal), s.bits(kOffset));
  auto* biased = ir.CreateAdd(ir.CreateAShr(bits, s.bits(52)), s.bits(2048));
  const Float m = s.from_bits(ir.CreateAdd(ir.CreateAnd(bits, s.bits(0x000fffffffffffff)), s.bits(kOffset)));
  const Float count = s.from_bits(ir.CreateOr(biased, s.bits(0x4330000000000000)));  // 2^52 + biased
  const Float k = e.sub(count, e.select(subnormal, s.number(0x1p52 + 2048 + 54), s.number(0x1p52 + 2048)));
  // ln m = f - (f^2/2 - s (f^2/2 + s^2 P)): f = m - 1 is exact and the rest is small.
  const Float f = e.sub(m, s.number(1));
  const Float ratio = e.div(f, e.add(f, s.number(2)));
  const Float z = e.mul(ratio, ratio);
  const Float half_square = e.mul(s.number(0.5), e.mul(f, f));
  const Float rest = e.mul(z, s.polynomial(z, kLogTail));
  return {k, e.sub(f, e.sub(half_square, e.mul(ratio, e.add(half_square, rest))))};
}

Float settle_edges(Emitter& e, Float x, Float value) {
  const Shaped s(e, x);
  Float result = e.select(e.compare(FloatOrder::kLt, x, s.number(kInf)), value, x);
  result = e.select(e.compare(FloatOrder::kEq, x, s.number(0)), s.number(-kInf), result);
  return e.select(e.compare(FloatOrder::kLt, x, s.number(0)), s.number(kNan), result);
}

}  // namespace

Float emit_exp2(Emitter& e, Float x) {
  const Shaped s(e, x);
  const Float bounded = s.at_least(s.at_most(x, 1030), -1080);
  const Float sum = e.add(bounded, s.number(kRound + 2046));
  const Float f = e.sub(bounded, e.sub(sum, s.number(kRound + 2046)));
  return scale_by_rounded(e, s, e.fma(f, s.polynomial(f, kExpm1), s.number(1)), sum);
}

Float emit_exp(Emitter& e, Float x) {
  const Shaped s(e, x);
  const Float bounded = s.at_least(s.at_most(x, 715), -750);
  const Float sum = e.fma(bounded, s.number(kLog2E), s.number(kRound + 2046));
  const Float n = e.sub(sum, s.number(kRound + 2046));
  const Float r = e.fma(n, s.number(-kLn2Lo), e.fma(n, s.number(-kLn2Hi), bounded));
  const Float p = e.add(e.fma(e.mul(r, r), s.polynomial(r, kExpTail), r), s.number(1));
  return scale_by_rounded(e, s, p, sum);
}

Float emit_log(Emitter& e, Float x) {
  const Decomposed d = decompose(e, x);
  const Shaped s(e, x);
  const Float low = e.fma(d.k, s.number(kLn2Lo), d.log_m);
  return settle_edges(e, x, e.fma(d.k, s.number(kLn2Hi), low));
}

Float emit_log2(Emitter& e, Float x) {
  const Decomposed d = decompose(e, x);
  const Shaped s(e, x);
  const Float low = e.mul(d.log_m, s.number(kLog2ELo));
  return settle_edges(e, x, e.add(e.fma(d.log_m, s.number(kLog2E), low), d.k));
}

Float emit_log1p(Emitter& e, Float x) {
  const Shaped s(e, x);
  const Float u = e.add(x, s.number(1));
  const Float lost = e.sub(x, e.sub(u, s.number(1)));
  const Bool finite = e.logical_and(e.compare(FloatOrder::kLt, u, s.number(kInf)), e.compare(FloatOrder::kGt, u, s.number(0)));
  const Float correction = e.select(finite, e.div(lost, u), s.number(0));
  const Float result = e.add(emit_log(e, u), correction);
  return e.select(e.compare(FloatOrder::kEq, u, s.number(1)), x, result);
}

Float emit_tanh(Emitter& e, Float x) {
  auto& ir = e.ir();
  const Shaped s(e, x);
  constexpr double kBiased = kRound + 1023;
  const Float magnitude = s.at_most(e.abs(x), 20);  // beyond it the result is 1 to the last bit
  const Float sum = e.fma(magnitude, s.number(2 * kLog2E), s.number(kBiased));
  const Float n = e.sub(sum, s.number(kBiased));
  const Float f = e.fma(magnitude, s.number(2 * kLog2ELo), e.fma(magnitude, s.number(2 * kLog2E), e.neg(n)));
  const Float power = s.from_bits(ir.CreateShl(s.bits_of(sum), s.bits(52)));
  const Float m = e.fma(e.mul(f, s.polynomial(f, kExpm1)), power, e.sub(power, s.number(1)));
  return emit_copy_sign(e, e.div(m, e.add(m, s.number(2))), x);
}

Float emit_erf(Emitter& e, Float x) {
  const Shaped s(e, x);
  const Float magnitude = e.abs(x);
  const Float z = e.mul(x, x);
  const Float small = e.fma(x, e.mul(z, s.polynomial(z, kErfSmall)), e.mul(x, s.number(kTwoOverRootPi)));
  const Float t = e.fma(s.at_most(magnitude, 6), s.number(0.4), s.number(-1.4));
  const Float large = e.sub(s.number(1), emit_exp2(e, s.polynomial(t, kLog2Erfc)));
  const Bool is_small = e.compare(FloatOrder::kLt, magnitude, s.number(1));
  return e.select(is_small, small, emit_copy_sign(e, large, x));
}

// C's edges in the order in which they override each other.
Float emit_pow(Emitter& e, Float x, Float y) {
  const Shaped s(e, x);
  const Float zero = s.number(0), one = s.number(1);
  const Float magnitude = e.abs(x);
  // log2 of 0 and inf is -inf and inf, which gives the limits; only 0 * inf must not arise.
  const Float log = emit_log2(e, magnitude);
  const Bool neutral = e.compare(FloatOrder::kEq, magnitude, one);
  Float result = e.select(neutral, one, emit_exp2(e, e.mul(y, log)));
  const Float half = e.mul(y, s.number(0.5));
  const Bool integral = e.compare(FloatOrder::kEq, emit_floor(e, y), y);
  const Bool odd = e.logical_and(integral, e.logical_not(e.compare(FloatOrder::kEq, emit_floor(e, half), half)));
  result = e.select(odd, emit_copy_sign(e, result, x), result);
  const Bool finite_negative =
      e.logical_and(e.compare(FloatOrder::kLt, x, zero), e.compare(FloatOrder::kGt, x, s.number(-kInf)));
  result = e.select(e.logical_and(finite_negative, e.logical_not(integral)), s.number(kNan), result);
  result = e.select(e.compare(FloatOrder::kEq, x, x), result, x);
  result = e.select(e.compare(FloatOrder::kEq, y, y), result, y);
  return e.select(e.logical_or(e.compare(FloatOrder::kEq, x, one), e.compare(FloatOrder::kEq, y, zero)), one, result);
}

// Every double from 2^52 on is an integer; SSE2's rounding would be a libm call.
Float emit_round(Emitter& e, Float x) {
  if (e.has(plan::kRounding)) return {e.ir().CreateUnaryIntrinsic(llvm::Intrinsic::roundeven, x.value)};
  const Shaped s(e, x);
  const Float magnitude = e.abs(x);
  const Float rounded = e.sub(e.add(magnitude, s.number(0x1p52)), s.number(0x1p52));
  return e.select(e.compare(FloatOrder::kLt, magnitude, s.number(0x1p52)), emit_copy_sign(e, rounded, x), x);
}

Float emit_floor(Emitter& e, Float x) {
  if (e.has(plan::kRounding)) return {e.ir().CreateUnaryIntrinsic(llvm::Intrinsic::floor, x.value)};
  const Shaped s(e, x);
  const Float nearest = emit_round(e, x);
  const Float down = e.select(e.compare(FloatOrder::kGt, nearest, x), s.number(1), s.number(0));
  return emit_copy_sign(e, e.sub(nearest, down), x);
}

Float emit_ceil(Emitter& e, Float x) {
  if (e.has(plan::kRounding)) return {e.ir().CreateUnaryIntrinsic(llvm::Intrinsic::ceil, x.value)};
  const Shaped s(e, x);
  const Float nearest = emit_round(e, x);
  const Float up = e.select(e.compare(FloatOrder::kLt, nearest, x), s.number(1), s.number(0));
  return emit_copy_sign(e, e.add(nearest, up), x);
}

Int emit_float_to_int(Emitter& e, Float x) {
  const Shaped s(e, x);
  const Bool high = e.compare(FloatOrder::kGe, x, s.number(2147483648.0));
  const Bool low = e.compare(FloatOrder::kLe, x, s.number(-2147483649.0));
  const Bool inside = e.logical_and(e.compare(FloatOrder::kLt, x, s.number(2147483648.0)),
                                    e.compare(FloatOrder::kGt, x, s.number(-2147483649.0)));
  const Int converted = e.to_int(e.select(inside, x, s.number(0)));
  const Int clamped = e.select(high, e.constant_int(2147483647), converted);
  return e.select(low, e.constant_int(-2147483647 - 1), clamped);
}

Float emit_copy_sign(Emitter& e, Float x, Float sign) {
  const Shaped s(e, x);
  constexpr std::uint64_t kSign = 0x8000000000000000;
  auto* magnitude = e.ir().CreateAnd(s.bits_of(x), s.bits(~kSign));
  return s.from_bits(e.ir().CreateOr(magnitude, e.ir().CreateAnd(s.bits_of(sign), s.bits(kSign))));
}

}  // namespace flexjit::codegen::f64
