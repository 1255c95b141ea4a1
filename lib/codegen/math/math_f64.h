// The elementary functions for operands of fp64, which kernels over fp64 tensors compute with; vector_math.h sends them here.
// Errors are in units of the last place of a double, with FMA and without.
#pragma once

#include "codegen/emit/emitter.h"

namespace flexjit::codegen {

inline bool is_f64(Float x) { return x.value->getType()->getScalarType()->isDoubleTy(); }

namespace f64 {

// 2^x, e^x: overflow to inf, gradual underflow, -inf gives exactly 0. 2 ULP.
Float emit_exp2(Emitter& e, Float x);
Float emit_exp(Emitter& e, Float x);
Float emit_log(Emitter& e, Float x);    // 2 ULP
Float emit_log2(Emitter& e, Float x);   // 3 ULP, exact at powers of two
Float emit_log1p(Emitter& e, Float x);  // 3 ULP
Float emit_tanh(Emitter& e, Float x);   // 4 ULP
Float emit_erf(Emitter& e, Float x);    // 4 ULP
// 3 ULP of max(|result|, 2^-24), for every finite x.
Float emit_sin(Emitter& e, Float x);
Float emit_cos(Emitter& e, Float x);
// 2^(y log2 |x|), hence (2 + 2 |y log2 x|) ULP, with C's results at the edges.
Float emit_pow(Emitter& e, Float x, Float y);
Float emit_floor(Emitter& e, Float x);
Float emit_ceil(Emitter& e, Float x);
Float emit_round(Emitter& e, Float x);
Int emit_float_to_int(Emitter& e, Float x);
Float emit_copy_sign(Emitter& e, Float x, Float sign);

}  // namespace f64
}  // namespace flexjit::codegen
