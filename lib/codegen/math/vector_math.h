// Elementary functions as polynomials in the kernel's own code, so that no kernel calls libm. Each takes and returns one scalar
// or one vector. Errors are in units of the last place (ULP), the largest that a run over all floats of the domain found
// against fp64 libm with SSE2, AVX2 (whose code AArch64 shares) and AVX-512; the tests repeat it on every exponent. An operand
// of fp64 gets the functions of math_f64.h, whose errors are stated there. Coefficients: minimax fits (Lawson-weighted least
// squares on Chebyshev nodes) of the functions named beside them.
#pragma once

#include "codegen/emit/emitter.h"

namespace flexjit::codegen {

// 2^x for the softmax: any x <= 127, -inf gives exactly 0, NaN gives NaN. 2.1 ULP (2.3 without FMA) where the result is normal;
// one below 2^-126 may be anything from 0 to itself.
Float emit_exp2_fast(Emitter& e, Float x);
// e^x likewise, x <= 88, in as many instructions: (2.3 + 3/4 |x|) ULP, most of which the product x log2(e) is off by.
Float emit_exp_fast(Emitter& e, Float x);
// 2^x for weights that are rounded to bf16: relative error 1.1e-4 (2^-13.1).
Float emit_exp2_coarse(Emitter& e, Float x);
// 1 / (1 + e^-x) for sigmoid weights: -inf gives exactly 0, NaN gives NaN; relative error (2 + |x|) 2^-23.
Float emit_sigmoid(Emitter& e, Float x);

// 2^x and e^x over all floats: overflow to inf, gradual underflow to 0. 2 ULP.
Float emit_exp2(Emitter& e, Float x);
Float emit_exp(Emitter& e, Float x);

// ln x and log2 x: -inf at 0, NaN below, subnormals included; log2 exact at powers of two. 2 ULP.
Float emit_log(Emitter& e, Float x);
Float emit_log2(Emitter& e, Float x);
// ln(1 + x), accurate near 0. 3 ULP.
Float emit_log1p(Emitter& e, Float x);

Float emit_tanh(Emitter& e, Float x);  // 4 ULP
Float emit_erf(Emitter& e, Float x);   // 3 ULP

// Radians, every finite float; NaN at +-inf. 2 ULP of max(|result|, 2^-24).
Float emit_sin(Emitter& e, Float x);
Float emit_cos(Emitter& e, Float x);

// C's pow, through log2 in fp64. 4 ULP.
Float emit_pow(Emitter& e, Float x, Float y);

// Toward -inf, toward +inf, to nearest even. Exact.
Float emit_floor(Emitter& e, Float x);
Float emit_ceil(Emitter& e, Float x);
Float emit_round(Emitter& e, Float x);

// Toward -inf with the exact quotient where the result has at most 51 bits; a / b for b == 0 and for an infinite a. And the
// exact remainder, with the sign of b, rounded once.
Float emit_floor_div(Emitter& e, Float a, Float b);
Float emit_floor_mod(Emitter& e, Float a, Float b);

// Toward zero, saturating, NaN gives 0.
Int emit_float_to_int(Emitter& e, Float x);

// Floor division and its remainder, of ints or of longs; 0 where b == 0, INT_MIN // -1 wraps. Exact. A vector of ints divided
// by a scalar costs a multiplication: what depends on the scalar alone is emitted behind the instruction that defines it.
Int emit_floor_div(Emitter& e, Int a, Int b);
Int emit_floor_mod(Emitter& e, Int a, Int b);

// c[0] + x * (c[1] + x * (...)): Horner's rule.
Float emit_polynomial(Emitter& e, Float x, llvm::ArrayRef<float> coefficients);
// x * 2^n for |x| in [1/2, 2) and n in [-250, 250], correctly through overflow and underflow.
Float emit_scale_by_power(Emitter& e, Float x, Int n);
// x bounded from one side; NaN stays NaN.
Float emit_at_most(Emitter& e, Float x, float limit);
Float emit_at_least(Emitter& e, Float x, float limit);
// The magnitude of x with the sign of `sign`.
Float emit_copy_sign(Emitter& e, Float x, Float sign);

}  // namespace flexjit::codegen
