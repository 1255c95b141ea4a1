// Buffer + indices -> loads of its elements as the IR's int, float or bool.
#include "codegen/program/captured_read.h"

#include "codegen/emit/storage.h"

namespace flexjit::codegen {

CapturedReads::CapturedReads(Emitter& e) : e_(e) {
  auto* type = e.ir().getInt64Ty();
  zero_ = e.module().getGlobalVariable("zero", true);
  if (zero_ == nullptr) {
    zero_ = new llvm::GlobalVariable(e.module(), type, true, llvm::GlobalValue::PrivateLinkage, llvm::ConstantInt::get(type, 0),
                                     "zero");
  }
}

Bool CapturedReads::in_range(const BufferFields& buffer, llvm::ArrayRef<Int> index) {
  Bool all;
  for (std::size_t d = 0; d < index.size(); ++d) {
    const Bool inside = e_.compare(llvm::CmpInst::ICMP_ULT, index[d], buffer.extents[d]);
    all = all ? e_.logical_and(all, inside) : inside;
  }
  return all;
}

ElementAddress CapturedReads::address(const BufferFields& buffer, DType dtype, llvm::ArrayRef<Int> index, Bool allowed) {
  auto& ir = e_.ir();
  auto* element = storage_type(e_, dtype);
  llvm::Value* base = buffer.data.value;
  llvm::Value* offset = nullptr;  // vector part
  for (std::size_t d = 0; d < index.size(); ++d) {
    if (!Emitter::is_vector(index[d].value)) {
      base = ir.CreateGEP(element, base, e_.mul(e_.widen(index[d]), buffer.strides[d]).value);
      continue;
    }
    auto* wide = ir.CreateSExt(index[d].value, e_.shaped(ir.getInt64Ty(), index[d].value));
    auto* scaled = ir.CreateMul(wide, e_.broadcast(buffer.strides[d]).value);
    offset = offset == nullptr ? scaled : ir.CreateAdd(offset, scaled);
  }
  const bool vector_lanes = offset != nullptr || (allowed && Emitter::is_vector(allowed.value));
  if (!vector_lanes) return {base, allowed};
  if (offset == nullptr) offset = llvm::Constant::getNullValue(e_.shaped(ir.getInt64Ty(), allowed.value));
  return {ir.CreateGEP(element, base, offset), allowed ? e_.broadcast(allowed) : allowed};
}

llvm::Value* CapturedReads::load(const ElementAddress& at, DType dtype, Index step) {
  auto& ir = e_.ir();
  auto* element = storage_type(e_, dtype);
  ElementAddress moved = at;
  if (step) {
    llvm::Value* offset = Emitter::is_vector(at.pointer) ? e_.broadcast(step).value : step.value;
    moved.pointer = ir.CreateGEP(element, at.pointer, offset);
  }
  if (Emitter::is_vector(at.pointer)) {
    const bool native = e_.has(plan::kGather) && element->getScalarSizeInBits() == 32;
    return as_read(e_, native ? gather(moved, element) : load_lane_by_lane(moved, element), dtype);
  }
  if (moved.allowed) moved.pointer = ir.CreateSelect(moved.allowed.value, moved.pointer, zero_);
  return as_read(e_, ir.CreateAlignedLoad(element, moved.pointer, llvm::Align(element->getScalarSizeInBits() / 8)), dtype);
}

llvm::Value* CapturedReads::load_side_by_side(const BufferFields& buffer, DType dtype, llvm::ArrayRef<Int> index) {
  auto& ir = e_.ir();
  auto* element = storage_type(e_, dtype);
  llvm::Value* base = buffer.data.value;
  for (std::size_t d = 0; d + 1 < index.size(); ++d) {
    base = ir.CreateGEP(element, base, e_.mul(e_.widen(index[d]), buffer.strides[d]).value);
  }
  base = ir.CreateGEP(element, base, e_.widen(e_.first_lane(index.back())).value);
  auto* type = llvm::FixedVectorType::get(element, static_cast<unsigned>(e_.lanes()));
  // The rows of a large buffer are too many streams for the processor to foresee.
  constexpr int kBytesAhead = 512;
  e_.prefetch(e_.anywhere(Ptr{base}, e_.index(kBytesAhead)), CacheLevel::kSecond);
  return as_read(e_, ir.CreateAlignedLoad(type, base, llvm::Align(element->getScalarSizeInBits() / 8)), dtype);
}

// The consecutive numbers of the last index may wrap around; then the first is above the last.
Bool CapturedReads::may_load_side_by_side(const BufferFields& buffer, llvm::ArrayRef<Int> index) {
  const Int first = e_.first_lane(index.back());
  const Int last = e_.add(first, e_.constant_int(e_.lanes() - 1));
  Bool all = e_.logical_and(buffer.unit_stride, e_.compare(llvm::CmpInst::ICMP_ULE, first, last));
  all = e_.logical_and(all, e_.compare(llvm::CmpInst::ICMP_ULT, last, buffer.extents.back()));
  if (index.size() > 1) all = e_.logical_and(all, in_range(buffer, index.drop_back()));
  return all;
}

llvm::Value* CapturedReads::gather(const ElementAddress& at, llvm::Type* element) {
  auto& ir = e_.ir();
  auto* type = e_.shaped(element, at.pointer);
  auto* everywhere = llvm::Constant::getAllOnesValue(e_.shaped(ir.getInt1Ty(), at.pointer));
  return ir.CreateMaskedGather(type, at.pointer, llvm::Align(4), at.allowed ? at.allowed.value : everywhere,
                               llvm::Constant::getNullValue(type));
}

llvm::Value* CapturedReads::load_lane_by_lane(const ElementAddress& at, llvm::Type* element) {
  auto& ir = e_.ir();
  auto* pointers = at.pointer;
  if (at.allowed) {
    auto* zeros = ir.CreateVectorSplat(static_cast<unsigned>(e_.lanes()), zero_);
    pointers = ir.CreateSelect(at.allowed.value, pointers, zeros);
  }
  llvm::Value* result = llvm::PoisonValue::get(e_.shaped(element, at.pointer));
  for (int lane = 0; lane < e_.lanes(); ++lane) {
    const auto number = static_cast<std::uint64_t>(lane);
    auto* pointer = ir.CreateExtractElement(pointers, number);
    auto* loaded = ir.CreateAlignedLoad(element, pointer, llvm::Align(element->getScalarSizeInBits() / 8));
    result = ir.CreateInsertElement(result, loaded, number);
  }
  return result;
}

}  // namespace flexjit::codegen
