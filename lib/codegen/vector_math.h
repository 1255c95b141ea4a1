// Elementary functions as polynomials in the kernel's own code, so that no kernel calls libm. Each takes and returns one scalar
// or one vector. Errors are the largest seen against fp64 over the stated range, in units of the last place (ULP).
// Coefficients: minimax fits (Lawson-weighted least squares on Chebyshev nodes) of the functions named beside them.
#pragma once

#include "codegen/emitter.h"

namespace flexjit::codegen {

// 2^x for the softmax: any x <= 127, -inf gives 0, NaN gives NaN. 2 ULP where the result is normal; results below 2^-126 may be
// 0.
Float emit_exp2_fast(Emitter& e, Float x);

// 2^x and e^x over all floats: overflow to inf, gradual underflow to 0. 2 ULP.
Float emit_exp2(Emitter& e, Float x);
Float emit_exp(Emitter& e, Float x);

// ln x and log2 x: -inf at 0, NaN below, subnormals included; log2 exact at powers of two. 2 ULP.
Float emit_log(Emitter& e, Float x);
Float emit_log2(Emitter& e, Float x);
// ln(1 + x), accurate near 0. 3 ULP.
Float emit_log1p(Emitter& e, Float x);

Float emit_tanh(Emitter& e, Float x);  // 3 ULP
Float emit_erf(Emitter& e, Float x);   // 3 ULP

// Radians, argument reduced in fp64: 2 ULP of max(|result|, 2^-24) for |x| < 2^30, NaN at +-inf.
Float emit_sin(Emitter& e, Float x);
Float emit_cos(Emitter& e, Float x);

// C's pow, through log2 in fp64. 4 ULP.
Float emit_pow(Emitter& e, Float x, Float y);

// Toward -inf, toward +inf, to nearest even. Exact.
Float emit_floor(Emitter& e, Float x);
Float emit_ceil(Emitter& e, Float x);
Float emit_round(Emitter& e, Float x);

// Toward zero, saturating, NaN gives 0.
Int emit_float_to_int(Emitter& e, Float x);

// Floor division and its remainder; 0 where b == 0, INT_MIN // -1 wraps. Exact.
Int emit_floor_div(Emitter& e, Int a, Int b);
Int emit_floor_mod(Emitter& e, Int a, Int b);

// c[0] + x * (c[1] + x * (...)): Horner's rule.
Float emit_polynomial(Emitter& e, Float x, llvm::ArrayRef<float> coefficients);
// x * 2^n for n in [-300, 300], correctly through overflow and underflow.
Float emit_scale_by_power(Emitter& e, Float x, Int n);
// The magnitude of x with the sign of `sign`.
Float emit_copy_sign(Emitter& e, Float x, Float sign);

}  // namespace flexjit::codegen
