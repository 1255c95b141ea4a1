// What the files of fp64 functions share: constants and bits in the shape of an operand.
#pragma once

#include <llvm/IR/Intrinsics.h>

#include "codegen/math/math_f64.h"

namespace flexjit::codegen::f64 {

// Adding 1.5 * 2^52 rounds to an integer that then stands in the low bits of the sum: see math_exp.cpp.
inline constexpr double kRound = 0x1.8p52;

class Shaped {
 public:
  Shaped(Emitter& e, Float shape) : e_(e), ir_(e.ir()), f64_(shape.value->getType()) {
    i64_ = e.shaped(ir_.getInt64Ty(), shape.value);
  }
  Float number(double value) const { return {llvm::ConstantFP::get(f64_, value)}; }
  llvm::Constant* bits(std::uint64_t value) const { return llvm::ConstantInt::get(i64_, value); }
  llvm::Value* bits_of(Float x) const { return ir_.CreateBitCast(x.value, i64_); }
  Float from_bits(llvm::Value* bits) const { return {ir_.CreateBitCast(bits, f64_)}; }
  Int low_int(Float x) const { return {ir_.CreateTrunc(bits_of(x), e_.shaped(ir_.getInt32Ty(), x.value))}; }
  Float polynomial(Float x, llvm::ArrayRef<double> coefficients) const {
    Float sum = number(coefficients.back());
    for (double c : llvm::reverse(coefficients.drop_back())) sum = e_.fma(sum, x, number(c));
    return sum;
  }
  // NaN stays NaN.
  Float at_most(Float x, double limit) const { return e_.min(number(limit), x); }
  Float at_least(Float x, double limit) const { return e_.max(number(limit), x); }

 private:
  Emitter& e_;
  llvm::IRBuilder<>& ir_;
  llvm::Type* f64_;
  llvm::Type* i64_;
};

}  // namespace flexjit::codegen::f64
