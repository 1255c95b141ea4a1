// Elements in memory <-> values in registers, for every element type that a tensor or a captured buffer may have.
#pragma once

#include "codegen/emit/emitter.h"
#include "flexjit/tensor.h"

namespace flexjit::codegen {

// The type as it lies in memory: fp16 and bf16 are 16-bit integers, fp8 and bool are bytes.
llvm::Type* storage_type(Emitter& e, DType dtype);
Ptr at_element(Emitter& e, Ptr base, Index elements, DType dtype);

// A stored scalar or vector -> the value that it stands for: fp32 (fp64 loses bits), int, long or bool. Exact but for fp64.
llvm::Value* widen(Emitter& e, llvm::Value* stored, DType dtype);
// Quantised elements (i8, e4m3, e5m2) as fp32 in units of unit_of(dtype), which spares a multiplication where scales follow.
double unit_of(DType dtype);
llvm::Value* widen_in_units(Emitter& e, llvm::Value* stored, DType dtype);
// Elements that are best widened at once.
int widened_at_once(Emitter& e, DType dtype);
// The same as a program reads it, whose floats are reals: fp64 in fp64 kernels, where nothing is lost.
llvm::Value* as_read(Emitter& e, llvm::Value* stored, DType dtype);
// A real -> f32, bf16, f16 or f64 as stored, to nearest even; NaN stays NaN.
llvm::Value* narrow(Emitter& e, Float value, DType dtype);

// Tensor elements (floats or i8) as reals; unaligned.
Float load_element(Emitter& e, Ptr address, DType dtype);
Float load_elements(Emitter& e, Ptr address, DType dtype);  // one vector of lanes
// A vector of `width` as stored, of which the first `count` elements are read (all: without a mask) and the others 0;
// unaligned.
struct VectorPart {
  int width, count;
};
llvm::Value* load_first(Emitter& e, Ptr address, DType dtype, VectorPart part);
// One scalar or one vector, whichever `value` is; unaligned.
void store_elements(Emitter& e, Float value, Ptr address, DType dtype);

}  // namespace flexjit::codegen
