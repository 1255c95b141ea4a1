// WidenedDivision of floats towards -inf and its remainder, exact for every size of the quotient: rest = |a| - n |b| by steps
// whose every product and difference is exact in fp64. fp32 operands are widened, so that n may have 29 bits where |b| has 24.
// With fp64 operands n has 26 bits and |b| is cut into halves. A step removes the leading bits of the quotient: one does for
// quotients that n can hold, and the others take a loop.
#include <cmath>
#include <limits>

#include "codegen/math/math_f64_internal.h"
#include "codegen/math/vector_math.h"

namespace flexjit::codegen {
namespace {

constexpr double kInfF64 = std::numeric_limits<double>::infinity();

// The operands in fp64.
struct WidenedDivision {
  Float a, b;
  Float a_magnitude, b_magnitude;
  int step_bits;  // of the quotient that one step removes
  int steps;      // that the largest quotient takes
};

WidenedDivision widened(Emitter& e, Float a, Float b) {
  e.match(a, b);
  WidenedDivision x;
  auto* f64 = e.shaped(e.ir().getDoubleTy(), a.value);
  x.a = {e.ir().CreateFPCast(a.value, f64)};
  x.b = {e.ir().CreateFPCast(b.value, f64)};
  x.a_magnitude = e.abs(x.a);
  x.b_magnitude = e.abs(x.b);
  // A quotient is below 2^278 or 2^2099; what a step leaves of it is 2^-(step_bits - 1) of it at most.
  x.step_bits = is_f64(a) ? 26 : 29;
  x.steps = is_f64(a) ? 84 : 10;
  return x;
}

// The leading `count` bits of a number's significand.
Float leading_bits(Emitter& e, Float x, int count) {
  const f64::Shaped s(e, x);
  return s.from_bits(e.ir().CreateAnd(s.bits_of(x), s.bits(~std::uint64_t{0} << (53 - count))));
}

// rest - n * divisor * scale, all exact; `scale` is a power of two.
Float without_multiple(Emitter& e, const WidenedDivision& x, Float rest, Float n, Float divisor, Float scale) {
  if (x.step_bits == 29) return e.sub(rest, e.mul(n, divisor));
  const Float high = leading_bits(e, divisor, 26);
  const Float low = e.sub(divisor, high);
  return e.sub(e.sub(rest, e.mul(e.mul(n, high), scale)), e.mul(e.mul(n, low), scale));
}

// Where |rest| has more multiples of |b| than a step can count: the largest that one can. Quotients beyond 2^1000 would
// overflow; there both are scaled.
Float far_step(Emitter& e, const WidenedDivision& x, Float rest) {
  const f64::Shaped s(e, rest);
  const Float magnitude = e.abs(rest);
  const Float shifted = e.mul(x.b_magnitude, s.number(0x1p1000));
  const Bool scales = e.compare(FloatOrder::kGe, magnitude, shifted);
  const Float divisor = e.select(scales, shifted, x.b_magnitude);
  const Float dividend = e.select(scales, e.mul(rest, s.number(0x1p-500)), rest);
  const Float quotient = e.div(dividend, divisor);
  const Float limit = e.mul(x.b_magnitude, s.number(std::ldexp(1.0, x.step_bits)));
  const Bool far = e.compare(FloatOrder::kGe, magnitude, limit);
  const Float n = e.select(far, leading_bits(e, quotient, x.step_bits), s.number(0));
  return without_multiple(e, x, rest, n, divisor, e.select(scales, s.number(0x1p500), s.number(1)));
}

// |a| modulo |b|; NaN for b == 0 and for an infinite a.
Float emit_rest(Emitter& e, const WidenedDivision& x) {
  const f64::Shaped s(e, x.a);
  const Bool finite = e.compare(FloatOrder::kLt, x.a_magnitude, s.number(kInfF64));
  const Bool divides = e.compare(FloatOrder::kGt, x.b_magnitude, s.number(0));
  const Float limit = e.mul(x.b_magnitude, s.number(std::ldexp(1.0, x.step_bits)));
  const Bool far = e.logical_and(e.logical_and(finite, divides), e.compare(FloatOrder::kGe, x.a_magnitude, limit));
  const Float near{e.choose(
      "modulo.far", e.any(far),
      [&] {
        const auto step = [&](Index, const Values& rest) { return Values{far_step(e, x, Float{rest[0]}).value}; };
        return e.for_range("modulo.step", e.index(0), e.index(x.steps), e.index(1), {x.a_magnitude.value}, step)[0];
      },
      [&] { return x.a_magnitude.value; })};
  // The quotient may have been rounded up to an integer, and steps that it was rounded in leave a rest below 0.
  const Float n = emit_floor(e, e.div(near, x.b_magnitude));
  const Float rest = without_multiple(e, x, near, n, x.b_magnitude, s.number(1));
  const Float least = e.select(e.compare(FloatOrder::kLt, rest, s.number(0)), e.add(rest, x.b_magnitude), rest);
  const Bool is_whole = e.logical_and(finite, e.compare(FloatOrder::kEq, x.b_magnitude, s.number(kInfF64)));
  return e.select(is_whole, x.a_magnitude, least);
}

Bool same_signs(Emitter& e, const WidenedDivision& x) {
  const f64::Shaped s(e, x.a);
  return {e.ir().CreateICmpSGE(e.ir().CreateXor(s.bits_of(x.a), s.bits_of(x.b)), s.bits(0))};
}

Float narrowed(Emitter& e, Float value, Float a, Float b) {
  e.match(a, b);
  return {e.ir().CreateFPCast(value.value, a.value->getType())};
}

}  // namespace

Float emit_floor_mod(Emitter& e, Float a, Float b) {
  const WidenedDivision x = widened(e, a, b);
  const f64::Shaped s(e, x.a);
  const Float rest = emit_rest(e, x);
  const Bool stays = e.logical_or(same_signs(e, x), e.compare(FloatOrder::kEq, rest, s.number(0)));
  const Float magnitude = e.select(stays, rest, e.sub(x.b_magnitude, rest));
  return narrowed(e, emit_copy_sign(e, magnitude, x.b), a, b);
}

Float emit_floor_div(Emitter& e, Float a, Float b) {
  const WidenedDivision x = widened(e, a, b);
  const f64::Shaped s(e, x.a);
  const Float rest = emit_rest(e, x);
  const Float whole = emit_round(e, e.div(e.sub(x.a_magnitude, rest), x.b_magnitude));
  const Bool divides_evenly = e.compare(FloatOrder::kEq, rest, s.number(0));
  const Float below = e.neg(e.select(divides_evenly, whole, e.add(whole, s.number(1))));
  const Bool no_rest = e.logical_or(e.compare(FloatOrder::kEq, x.b_magnitude, s.number(0)),
                                    e.compare(FloatOrder::kEq, x.a_magnitude, s.number(kInfF64)));
  const Float quotient = e.select(no_rest, e.div(x.a, x.b), e.select(same_signs(e, x), whole, below));
  return narrowed(e, quotient, a, b);
}

}  // namespace flexjit::codegen
