// Values of nodes <-> entries of the tables in the scratch: reals, ints and longs as they are, bools as 0 and -1. Entries have
// 4 bytes; a value of 8 takes two (plan::width_of).
#pragma once

#include "codegen/emit/emitter.h"
#include "ir/program/program.h"

namespace flexjit::codegen {

inline llvm::Value* to_entry(Emitter& e, llvm::Value* value) {
  if (!value->getType()->getScalarType()->isIntegerTy(1)) return value;
  return e.ir().CreateSExt(value, e.shaped(e.ir().getInt32Ty(), value));
}

// `bool_shape`: i1, or a vector of them for as many entries.
inline llvm::Value* from_entry(Emitter& e, Ptr address, ir::Type type, llvm::Type* bool_shape) {
  const bool vector = bool_shape->isVectorTy();
  if (type == ir::Type::kFloat) {
    const auto alignment = static_cast<int>(e.real_bytes());
    return vector ? e.load_reals(address, alignment).value : e.load_real(address).value;
  }
  if (type == ir::Type::kLong) return vector ? e.load_long_vector(address).value : e.load_long(address).value;
  const Int bits = vector ? e.load_int_vector(address) : e.load_int(address);
  if (type == ir::Type::kInt) return bits.value;
  return e.compare(llvm::CmpInst::ICMP_NE, bits, e.constant_int(0)).value;
}

}  // namespace flexjit::codegen
