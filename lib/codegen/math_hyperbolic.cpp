// tanh and erf: an odd polynomial near 0, an exponential tail beyond it.
#include "codegen/vector_math.h"

namespace flexjit::codegen {
namespace {

// (tanh(x) - x) / x^3 in x^2 on [0, 0.626]: error 1.6e-10 of the result.
constexpr float kTanhSmall[] = {-0.333333308F, 0.133332042F, -0.0539465192F, 0.021699316F, -0.00817385044F, 0.00213961303F};
// erf(x) / x in x^2 on [0, 1]: error 3.3e-11 of the result.
constexpr float kErfSmall[] = {1.12837917F,    -0.376126384F,    0.11283782F,     -0.0268654001F,
                               0.00522094558F, -0.000848283071F, 0.000112569602F, -9.64154829e-06F};
// ln(erfc(x)) on [1, 4]: error 2.1e-11 of erf.
constexpr float kLogErfc[] = {0.000188468545F, -1.12958031F,    -0.633216392F,   -0.108422105F,
                              0.0252103426F,   -0.00420528572F, 0.000441472833F, -2.16976285e-05F};

}  // namespace

// |x| < 0.625: x + x^3 P(x^2); else sign(x) * (1 - 2 / (e^(2|x|) + 1)).
Float emit_tanh(Emitter& e, Float x) {
  const Float magnitude = e.abs(x);
  const Float x2 = e.mul(x, x);
  const Float small = e.fma(e.mul(x2, x), emit_polynomial(e, x2, kTanhSmall), x);
  // Beyond 10 the result is 1 to the last bit; the bound also keeps x2 = inf out of `large`.
  const Float bounded = e.min(magnitude, e.constant(10.0F));
  const Float power = emit_exp(e, e.add(bounded, bounded));
  const Float large = e.sub(e.constant(1.0F), e.div(e.constant(2.0F), e.add(power, e.constant(1.0F))));
  const Bool is_small = e.compare(FloatOrder::kLt, magnitude, e.constant(0.625F));
  const Float result = e.select(is_small, small, emit_copy_sign(e, large, x));
  return e.select(e.compare(FloatOrder::kEq, x, x), result, x);
}

Float emit_erf(Emitter& e, Float x) {
  const Float magnitude = e.abs(x);
  const Float x2 = e.mul(x, x);
  const Float small = e.mul(x, emit_polynomial(e, x2, kErfSmall));
  // Beyond 4 the result is 1 to the last bit.
  const Float bounded = e.min(magnitude, e.constant(4.0F));
  const Float large = e.sub(e.constant(1.0F), emit_exp(e, emit_polynomial(e, bounded, kLogErfc)));
  const Bool is_small = e.compare(FloatOrder::kLt, magnitude, e.constant(1.0F));
  const Float result = e.select(is_small, small, emit_copy_sign(e, large, x));
  return e.select(e.compare(FloatOrder::kEq, x, x), result, x);
}

}  // namespace flexjit::codegen
