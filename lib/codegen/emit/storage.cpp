// Widening and rounding of stored elements: one instruction where the target has it, integer arithmetic elsewhere.
#include "codegen/emit/storage.h"

namespace flexjit::codegen {
namespace {

using Predicate = llvm::CmpInst::Predicate;

// IEEE half in the low 16 bits of an int -> float: shifted into place, its exponent bias corrected by one multiplication,
// which also normalises subnormals; infinities and NaN keep a full exponent.
Float half_to_float(Emitter& e, Int bits) {
  const Int shifted = e.shl(e.bit_and(bits, e.constant_int(0x7fff)), e.constant_int(13));
  const Float scaled = e.mul(e.bits_as_float(shifted), e.constant(0x1p112F));
  const Int exponent = e.bit_and(bits, e.constant_int(0x7c00));
  const Bool special = e.compare(Predicate::ICMP_EQ, exponent, e.constant_int(0x7c00));
  const Int magnitude = e.select(special, e.bit_or(shifted, e.constant_int(0x7f800000)), e.bits_as_int(scaled));
  const Int sign = e.shl(e.bit_and(bits, e.constant_int(0x8000)), e.constant_int(16));
  return e.bits_as_float(e.bit_or(magnitude, sign));
}

// float -> IEEE half in the low 16 bits of an int. Normal results: the exponent bias is subtracted and the 13 dropped bits
// round to nearest even, a carry growing the exponent as it should. Subnormal results: adding 0.5 makes the FPU round at 2^-24.
Int float_to_half(Emitter& e, Float value) {
  const Int bits = e.bits_as_int(value);
  const Int magnitude = e.bit_and(bits, e.constant_int(0x7fffffff));
  const Int odd = e.bit_and(e.shr(magnitude, e.constant_int(13)), e.constant_int(1));
  const Int rounded = e.add(e.sub(magnitude, e.constant_int(0x38000000)), e.add(odd, e.constant_int(0xfff)));
  const Int normal = e.bit_and(e.shr(rounded, e.constant_int(13)), e.constant_int(0x7fff));
  const Int subnormal = e.sub(e.bits_as_int(e.add(e.bits_as_float(magnitude), e.constant(0.5F))), e.constant_int(0x3f000000));
  Int half = e.select(e.compare(Predicate::ICMP_SLT, magnitude, e.constant_int(0x38800000)), subnormal, normal);
  half = e.select(e.compare(Predicate::ICMP_SGE, magnitude, e.constant_int(0x477ff000)), e.constant_int(0x7c00), half);
  half = e.select(e.compare(Predicate::ICMP_SGT, magnitude, e.constant_int(0x7f800000)), e.constant_int(0x7e00), half);
  return e.bit_or(half, e.bit_and(e.shr(bits, e.constant_int(16)), e.constant_int(0x8000)));
}

// The upper half of a float, rounded to nearest even; NaN keeps its sign and gets a mantissa bit that survives.
Int float_to_bf16(Emitter& e, Float value) {
  const Int bits = e.bits_as_int(value);
  const Int odd = e.bit_and(e.shr(bits, e.constant_int(16)), e.constant_int(1));
  const Int rounded = e.add(bits, e.add(odd, e.constant_int(0x7fff)));
  const Int quiet = e.bit_or(bits, e.constant_int(0x400000));
  const Int chosen = e.select(e.compare(FloatOrder::kEq, value, value), rounded, quiet);
  return e.shr(chosen, e.constant_int(16));
}

// 16 bits -> float.
llvm::Value* widen_half(Emitter& e, llvm::Value* bits) {
  auto& ir = e.ir();
  if (e.has(plan::kHalf)) {
    auto* halves = ir.CreateBitCast(bits, e.shaped(ir.getHalfTy(), bits));
    return ir.CreateFPExt(halves, e.shaped(ir.getFloatTy(), bits));
  }
  return half_to_float(e, Int{ir.CreateZExt(bits, e.shaped(ir.getInt32Ty(), bits))}).value;
}

// The fields of an e4m3 moved into those of an fp16, which then is 2^-8 times the number; the code of NaN becomes a NaN.
llvm::Value* e4m3_as_half(Emitter& e, llvm::Value* bytes) {
  auto& ir = e.ir();
  auto* i16 = e.shaped(ir.getInt16Ty(), bytes);
  const auto bits = [&](std::uint64_t value) { return llvm::ConstantInt::get(i16, value); };
  auto* moved = ir.CreateShl(ir.CreateSExt(bytes, i16), bits(7));
  auto* is_nan = ir.CreateICmpEQ(ir.CreateAnd(moved, bits(0x3f80)), bits(0x3f80));
  return ir.CreateOr(ir.CreateAnd(moved, bits(0xbf80)), ir.CreateSExt(is_nan, i16));
}

llvm::Value* e5m2_as_half(Emitter& e, llvm::Value* bytes) {
  auto* i16 = e.shaped(e.ir().getInt16Ty(), bytes);
  return e.ir().CreateShl(e.ir().CreateZExt(bytes, i16), llvm::ConstantInt::get(i16, 8));
}

llvm::Type* half_type(Emitter& e, llvm::Value* shape) { return e.shaped(e.ir().getHalfTy(), shape); }

}  // namespace

llvm::Type* storage_type(Emitter& e, DType dtype) {
  auto& ir = e.ir();
  switch (dtype) {
    case DType::kF32: return ir.getFloatTy();
    case DType::kF64: return ir.getDoubleTy();
    case DType::kF16:
    case DType::kBF16: return ir.getInt16Ty();
    case DType::kI64: return ir.getInt64Ty();
    case DType::kI32: return ir.getInt32Ty();
    case DType::kI8:
    case DType::kU8:
    case DType::kBool:
    case DType::kE4M3:
    case DType::kE5M2: return ir.getInt8Ty();
  }
  return nullptr;
}

Ptr at_element(Emitter& e, Ptr base, Index elements, DType dtype) {
  return {e.ir().CreateInBoundsGEP(storage_type(e, dtype), base.value, elements.value)};
}

llvm::Value* widen(Emitter& e, llvm::Value* stored, DType dtype) {
  auto& ir = e.ir();
  auto* i32 = e.shaped(ir.getInt32Ty(), stored);
  auto* f32 = e.shaped(ir.getFloatTy(), stored);
  switch (dtype) {
    case DType::kF32:
    case DType::kI64:
    case DType::kI32: return stored;
    case DType::kF64: return ir.CreateFPTrunc(stored, f32);
    case DType::kF16: return widen_half(e, stored);
    case DType::kE4M3: return ir.CreateFMul(widen_in_units(e, stored, dtype), llvm::ConstantFP::get(f32, unit_of(dtype)));
    case DType::kE5M2: return widen_in_units(e, stored, dtype);
    case DType::kBF16: return e.bits_as_float(e.shl(Int{ir.CreateZExt(stored, i32)}, e.constant_int(16))).value;
    case DType::kI8: return ir.CreateSExt(stored, i32);
    case DType::kU8: return ir.CreateZExt(stored, i32);
    case DType::kBool: return ir.CreateIsNotNull(stored);
  }
  return nullptr;
}

double unit_of(DType dtype) {
  if (dtype == DType::kE4M3) return 0x1p8;
  return 1;
}

llvm::Value* widen_in_units(Emitter& e, llvm::Value* stored, DType dtype) {
  if (dtype == DType::kE4M3) return widen_half(e, e4m3_as_half(e, stored));
  if (dtype == DType::kE5M2) return widen_half(e, e5m2_as_half(e, stored));
  return e.ir().CreateSIToFP(widen(e, stored, dtype), e.shaped(e.ir().getFloatTy(), stored));
}

// Bytes become halves of 16 bits first, of which a register holds two vectors; integer arithmetic in the place of conversions
// is written for one vector.
int widened_at_once(Emitter& e, DType dtype) { return dtype != DType::kI8 && e.has(plan::kHalf) ? 2 * e.lanes() : e.lanes(); }

llvm::Value* as_read(Emitter& e, llvm::Value* stored, DType dtype) {
  if (dtype == DType::kF64 && e.arithmetic() == plan::Arithmetic::kF64) return stored;
  llvm::Value* value = widen(e, stored, dtype);
  return ir::element_type(dtype) == ir::Type::kFloat ? e.to_real(Float{value}).value : value;
}

llvm::Value* narrow(Emitter& e, Float value, DType dtype) {
  auto& ir = e.ir();
  auto* i16 = e.shaped(ir.getInt16Ty(), value.value);
  if (dtype == DType::kF64) return value.value;  // only fp64 kernels have fp64 tensors
  if (dtype == DType::kBF16) return ir.CreateTrunc(float_to_bf16(e, value).value, i16);
  if (dtype != DType::kF16) return value.value;
  if (!e.has(plan::kHalf)) return ir.CreateTrunc(float_to_half(e, value).value, i16);
  return ir.CreateBitCast(ir.CreateFPTrunc(value.value, half_type(e, value.value)), i16);
}

namespace {

Float load_real(Emitter& e, llvm::Type* type, Ptr address, DType dtype) {
  auto* stored = e.ir().CreateAlignedLoad(type, address.value, llvm::Align(size_of(dtype)));
  if (dtype == DType::kF64) return {stored};
  if (dtype == DType::kI8) return {widen_in_units(e, stored, dtype)};
  return {widen(e, stored, dtype)};
}

}  // namespace

Float load_element(Emitter& e, Ptr address, DType dtype) { return load_real(e, storage_type(e, dtype), address, dtype); }

Float load_elements(Emitter& e, Ptr address, DType dtype) {
  auto* type = llvm::FixedVectorType::get(storage_type(e, dtype), static_cast<unsigned>(e.lanes()));
  return load_real(e, type, address, dtype);
}

llvm::Value* load_first(Emitter& e, Ptr address, DType dtype, VectorPart part) {
  auto& ir = e.ir();
  auto* type = llvm::FixedVectorType::get(storage_type(e, dtype), static_cast<unsigned>(part.width));
  const llvm::Align alignment(size_of(dtype));
  if (part.count == part.width) return ir.CreateAlignedLoad(type, address.value, alignment);
  llvm::SmallVector<llvm::Constant*, 32> lanes;
  for (int i = 0; i < part.width; ++i) lanes.push_back(ir.getInt1(i < part.count));
  return ir.CreateMaskedLoad(type, address.value, alignment, llvm::ConstantVector::get(lanes),
                             llvm::Constant::getNullValue(type));
}

void store_elements(Emitter& e, Float value, Ptr address, DType dtype) {
  e.ir().CreateAlignedStore(narrow(e, value, dtype), address.value, llvm::Align(size_of(dtype)));
}

}  // namespace flexjit::codegen
