// Logarithms: x = 2^k * m with m in [sqrt(1/2), sqrt(2)), a polynomial in m - 1.
#include <limits>

#include "codegen/math/math_f64.h"
#include "codegen/math/vector_math.h"

namespace flexjit::codegen {
namespace {

// (ln(1 + f) - f + f^2/2) / f^3 on [sqrt(1/2) - 1, sqrt(2) - 1]: error 7.5e-10 of the result.
constexpr float kLogTail[] = {0.333333125F,  -0.250000095F, 0.200021235F,  -0.166680052F, 0.14219453F,
                              -0.124053402F, 0.118886974F,  -0.116775153F, 0.0674772881F};
constexpr float kLn2Hi = 0.693145751953125F;
constexpr float kLn2Lo = 1.42860682030941723e-6F;
// 1 / ln 2 = hi + lo.
constexpr float kLog2EHi = 1.4423828125F;
constexpr float kLog2ELo = 3.1222838e-4F;

struct Decomposed {
  Float k;       // exponent
  Float f;       // m - 1
  Float square;  // f * f / 2
  Float tail;    // ln(1 + f) - f + f * f / 2
};

Decomposed decompose(Emitter& e, Float x) {
  const Bool subnormal = e.compare(FloatOrder::kLt, x, e.constant(std::numeric_limits<float>::min()));
  const Float normal = e.select(subnormal, e.mul(x, e.constant(8388608.0F)), x);
  // Subtracting sqrt(1/2)'s bits makes the exponent field count from there; the rest of the bits is m's offset.
  const Int offset = e.constant_int(0x3f3504f3);
  const Int bits = e.sub(e.bits_as_int(normal), offset);
  const Int exponent = e.shr(bits, e.constant_int(23));
  const Float m = e.bits_as_float(e.add(e.bit_and(bits, e.constant_int(0x007fffff)), offset));
  const Float k = e.to_float(e.sub(exponent, e.select(subnormal, e.constant_int(23), e.constant_int(0))));
  const Float f = e.sub(m, e.constant(1.0F));
  const Float f2 = e.mul(f, f);
  const Float tail = e.mul(e.mul(f2, f), emit_polynomial(e, f, kLogTail));
  return {k, f, e.mul(f2, e.constant(0.5F)), tail};
}

// 0 -> -inf, below -> NaN, inf -> inf, NaN -> NaN; otherwise `value`.
Float settle_edges(Emitter& e, Float x, Float value) {
  const Float inf = e.constant(std::numeric_limits<float>::infinity());
  Float result = e.select(e.compare(FloatOrder::kLt, x, inf), value, x);
  result = e.select(e.compare(FloatOrder::kEq, x, e.constant(0.0F)), e.neg(inf), result);
  return e.select(e.compare(FloatOrder::kLt, x, e.constant(0.0F)), e.constant(std::numeric_limits<float>::quiet_NaN()), result);
}

}  // namespace

Float emit_log(Emitter& e, Float x) {
  if (is_f64(x)) return f64::emit_log(e, x);
  const Decomposed d = decompose(e, x);
  const Float low = e.fma(d.k, e.constant(kLn2Lo), d.tail);
  const Float mid = e.add(e.sub(low, d.square), d.f);
  return settle_edges(e, x, e.fma(d.k, e.constant(kLn2Hi), mid));
}

Float emit_log2(Emitter& e, Float x) {
  if (is_f64(x)) return f64::emit_log2(e, x);
  const Decomposed d = decompose(e, x);
  const Float rest = e.sub(d.tail, d.square);
  Float sum = e.mul(e.add(d.f, rest), e.constant(kLog2ELo));
  sum = e.fma(rest, e.constant(kLog2EHi), sum);
  sum = e.fma(d.f, e.constant(kLog2EHi), sum);
  return settle_edges(e, x, e.add(sum, d.k));
}

// ln(1 + x) = ln(u) + (x - (u - 1)) / u with u = fl(1 + x): the second term restores what rounding took.
Float emit_log1p(Emitter& e, Float x) {
  if (is_f64(x)) return f64::emit_log1p(e, x);
  const Float one = e.constant(1.0F);
  const Float u = e.add(x, one);
  const Float lost = e.sub(x, e.sub(u, one));
  const Bool finite = e.logical_and(e.compare(FloatOrder::kLt, u, e.constant(std::numeric_limits<float>::infinity())),
                                    e.compare(FloatOrder::kGt, u, e.constant(0.0F)));
  const Float correction = e.select(finite, e.div(lost, u), e.constant(0.0F));
  const Float result = e.add(emit_log(e, u), correction);
  return e.select(e.compare(FloatOrder::kEq, u, one), x, result);
}

}  // namespace flexjit::codegen
