// The loads and prefetches of rows that are read once.
#include "codegen/parts/streamed_rows.h"

#include <algorithm>

namespace flexjit::codegen {

Operands operands_of(Emitter& e) {
  const auto lanes = static_cast<unsigned>(e.lanes());
  switch (e.arithmetic()) {
    case plan::Arithmetic::kBF16:
      return {2 * e.lanes(), DType::kBF16, llvm::FixedVectorType::get(e.ir().getBFloatTy(), 2 * lanes)};
    case plan::Arithmetic::kF32:
    case plan::Arithmetic::kF64: break;
  }
  return {e.lanes(), DType::kF32, llvm::FixedVectorType::get(e.ir().getFloatTy(), lanes)};
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

// About as many bytes whatever the row, and at least a step.
Index StreamedRows::ahead() const {
  constexpr std::int64_t kBytesAhead = 8192;
  const std::int64_t keys = std::clamp(kBytesAhead / (dims * element_bytes()), step, 4 * step);
  return e.mul(rows.stride, e.index(keys));
}

void StreamedRows::prefetch(Ptr row, Index elements) const {
  e.prefetch(Ptr{e.ir().CreateGEP(storage_type(e, dtype), row.value, elements.value)}, CacheLevel::kSecond);
}

}  // namespace flexjit::codegen
