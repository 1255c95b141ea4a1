// Random words -> the floats that they stand for, or only the answer whether those are less than a bound, for which a word is
// compared as it is: conversion to a float and back to a decision takes longer than a round of Philox.
#include "codegen/math/unit_float.h"

#include <llvm/IR/Constants.h>

#include <cstdint>

namespace flexjit::codegen {

Float unit_float(Emitter& e, Int word) {
  auto* number = e.ir().CreateUIToFP(word.value, e.shaped(e.ir().getFloatTy(), word.value));
  return {e.ir().CreateFMul(number, llvm::ConstantFP::get(number->getType(), 0x1p-32))};
}

// With f the least fp32 number that is no less than p * 2^32: where fp32 holds all integers, f rounded up; elsewhere half way
// from the fp32 number below f, where words round to the even one of both.
Int unit_threshold(Emitter& e, Float p) {
  auto& ir = e.ir();
  auto *f32 = ir.getFloatTy(), *f64 = ir.getDoubleTy();
  auto* i32 = ir.getInt32Ty();
  auto* i64 = ir.getInt64Ty();
  const auto number = [&](double x) { return llvm::ConstantFP::get(f64, x); };
  llvm::Value* scaled = ir.CreateFMul(Emitter::is_double(p) ? p.value : ir.CreateFPExt(p.value, f64), number(0x1p32));
  scaled = ir.CreateSelect(ir.CreateFCmpOGT(scaled, number(0)), scaled, number(0));  // not where it is NaN
  scaled = ir.CreateSelect(ir.CreateFCmpOLT(scaled, number(0x1p32)), scaled, number(0x1p32));
  llvm::Value* f = ir.CreateBitCast(ir.CreateFPTrunc(scaled, f32), i32);
  auto* is_less = ir.CreateFCmpOLT(ir.CreateFPExt(ir.CreateBitCast(f, f32), f64), scaled);
  f = ir.CreateAdd(f, ir.CreateZExt(is_less, i32));
  const auto integer = [&](llvm::Value* bits) {
    return ir.CreateFPToSI(ir.CreateFPExt(ir.CreateBitCast(bits, f32), f64), i64);
  };
  auto* twice = ir.CreateAdd(integer(f), integer(ir.CreateSub(f, ir.getInt32(1))));
  auto* half_way = ir.CreateAdd(ir.CreateLShr(twice, 1), ir.CreateZExt(ir.CreateAnd(f, ir.getInt32(1)), i64));
  auto* truncated = ir.CreateFPToSI(scaled, i64);
  auto* has_rest = ir.CreateFCmpOLT(ir.CreateSIToFP(truncated, f64), scaled);
  auto* rounded_up = ir.CreateAdd(truncated, ir.CreateZExt(has_rest, i64));
  auto* least = ir.CreateSelect(ir.CreateFCmpOGT(scaled, number(0x1p24)), half_way, rounded_up);
  return {ir.CreateXor(ir.CreateTrunc(least, i32), ir.getInt32(0x80000000))};
}

Bool is_unit_below(Emitter& e, Int word, Int threshold) {
  return e.compare(llvm::CmpInst::ICMP_SLT, e.bit_xor(word, e.constant_int(INT32_MIN)), threshold);
}

}  // namespace flexjit::codegen
