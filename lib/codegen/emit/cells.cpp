// Cells -> loads, fused multiply-adds and, for pairs of bf16, vdpbf16ps.
#include "codegen/emit/cells.h"

#include <llvm/IR/IntrinsicsX86.h>

#include <limits>

#include "codegen/emit/storage.h"

namespace flexjit::codegen {
namespace {

bool is_pair(Emitter& e) {
  switch (e.arithmetic()) {
    case plan::Arithmetic::kF32:
    case plan::Arithmetic::kF64: return false;
    case plan::Arithmetic::kBF16: return true;
  }
  return false;
}

// The type that one cell is loaded as.
llvm::Type* cell_type(Emitter& e) { return is_pair(e) ? e.ir().getInt32Ty() : e.real_type(); }

// Pairs are loaded as integers, so that a broadcast folds into the instruction that uses it.
Cells as_operand(Emitter& e, llvm::Value* cells) {
  if (!is_pair(e)) return {cells};
  auto* pairs = llvm::FixedVectorType::get(e.ir().getBFloatTy(), 2 * static_cast<unsigned>(e.lanes()));
  return {e.ir().CreateBitCast(cells, pairs)};
}

}  // namespace

Operands operands_of(Emitter& e) {
  const auto lanes = static_cast<unsigned>(e.lanes());
  if (is_pair(e)) return {2 * e.lanes(), DType::kBF16, llvm::FixedVectorType::get(e.ir().getBFloatTy(), 2 * lanes)};
  return {e.lanes(), DType::kF32, llvm::FixedVectorType::get(e.ir().getFloatTy(), lanes)};
}

Cells as_cells(Emitter& e, llvm::Value* loaded, DType dtype) {
  return as_operand(e, is_pair(e) ? loaded : widen(e, loaded, dtype));
}

Ptr at_cell(Emitter& e, Ptr base, Index cells) { return {e.ir().CreateInBoundsGEP(cell_type(e), base.value, cells.value)}; }

Cells load_cells(Emitter& e, Ptr address, int alignment) {
  auto* type = llvm::FixedVectorType::get(cell_type(e), static_cast<unsigned>(e.lanes()));
  return as_operand(e, e.ir().CreateAlignedLoad(type, address.value, llvm::Align(static_cast<std::uint64_t>(alignment))));
}

Cells broadcast_cell(Emitter& e, Ptr address) {
  auto* cell = e.ir().CreateAlignedLoad(cell_type(e), address.value, llvm::Align(4));
  return as_operand(e, e.ir().CreateVectorSplat(static_cast<unsigned>(e.lanes()), cell));
}

Float multiply_add(Emitter& e, Cells a, Cells b, Float sum) {
  if (!is_pair(e)) return e.fma(Float{a.value}, Float{b.value}, sum);
  return {e.ir().CreateIntrinsic(llvm::Intrinsic::x86_avx512bf16_dpbf16ps_512, {}, {sum.value, a.value, b.value})};
}

// A scale of 0, or one below the normal numbers, counts as the least of them: masked scores must vanish whatever the scale.
SplitScale split_scale(Emitter& e, Float scale) {
  const Float magnitude = e.max(e.abs(scale), e.constant(std::numeric_limits<float>::min()));
  const Float one = e.constant(1.0F);
  const Float below = e.bits_as_float(e.bit_and(e.bits_as_int(magnitude), e.constant_int(0x7f800000)));
  const Float power = e.min(below, one);
  const Bool negative = e.compare(FloatOrder::kLt, scale, e.constant(0.0F));
  return {e.select(negative, e.neg(power), power), e.div(magnitude, power)};
}

namespace {

// Pairs of bf16, as int32, times a power of two; results below the normal numbers lose bits.
Int scale_pairs(Emitter& e, Int pairs, Float power) {
  const Int upper = e.constant_int(static_cast<std::int32_t>(0xffff0000));
  const auto scaled = [&](Int half) { return e.bits_as_int(e.mul(e.bits_as_float(half), power)); };
  const Int first = scaled(e.shl(pairs, e.constant_int(16))), second = scaled(e.bit_and(pairs, upper));
  const Int lower{e.ir().CreateLShr(first.value, std::uint64_t{16})};
  return e.bit_or(lower, e.bit_and(second, upper));
}

void copy_pairs(Emitter& e, const ElementRow& row, Float power) {
  const std::int64_t pairs = row.count / 2;
  const std::int64_t whole = pairs / e.lanes() * e.lanes();
  auto& ir = e.ir();
  auto* vector = llvm::FixedVectorType::get(ir.getInt32Ty(), static_cast<unsigned>(e.lanes()));
  e.for_range("pairs.vector", e.index(0), e.index(whole), e.index(e.lanes()), [&](Index i) {
    const Int loaded{ir.CreateAlignedLoad(vector, e.at(row.source, i).value, llvm::Align(2))};
    e.store(scale_pairs(e, loaded, power).value, e.at(row.target, i));
  });
  e.for_range("pairs.tail", e.index(whole), e.index(pairs), e.index(1), [&](Index i) {
    const Int loaded{ir.CreateAlignedLoad(ir.getInt32Ty(), e.at(row.source, i).value, llvm::Align(2))};
    e.store(scale_pairs(e, loaded, power).value, e.at(row.target, i));
  });
  if (row.count % 2 == 0) return;
  auto* last = ir.CreateAlignedLoad(ir.getInt16Ty(), e.at(row.source, e.index(pairs)).value, llvm::Align(2));
  const Int alone{ir.CreateZExt(last, ir.getInt32Ty())};
  e.store(scale_pairs(e, alone, power).value, e.at(row.target, e.index(pairs)));
}

}  // namespace

void copy_as_cells(Emitter& e, const ElementRow& row, DType dtype, Float factor) {
  if (is_pair(e)) return copy_pairs(e, row, factor);
  const std::int64_t whole = row.count / e.lanes() * e.lanes();
  e.for_range("load_q.vector", e.index(0), e.index(whole), e.index(e.lanes()), [&](Index d) {
    const Float x = load_elements(e, at_element(e, row.source, d, dtype), dtype);
    e.store(e.mul(x, factor).value, e.at_real(row.target, d));
  });
  e.for_range("load_q.tail", e.index(whole), e.index(row.count), e.index(1), [&](Index d) {
    const Float x = load_element(e, at_element(e, row.source, d, dtype), dtype);
    e.store(e.mul(x, factor).value, e.at_real(row.target, d));
  });
}

llvm::Value* scaled_operand(Emitter& e, llvm::Value* loaded, DType dtype, Float factor) {
  if (!is_pair(e)) return e.mul(Float{widen(e, loaded, dtype)}, factor).value;
  auto* pairs = llvm::FixedVectorType::get(e.ir().getInt32Ty(), static_cast<unsigned>(e.lanes()));
  return scale_pairs(e, Int{e.ir().CreateBitCast(loaded, pairs)}, factor).value;
}

void store_as_cells(Emitter& e, llvm::ArrayRef<Float> vectors, Ptr address) {
  auto& ir = e.ir();
  if (!is_pair(e)) {
    const auto bytes = static_cast<int>(e.lanes() * e.real_bytes());
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      e.store(vectors[i].value, e.at_real(address, e.index(static_cast<std::int64_t>(i) * e.lanes())), bytes);
    }
    return;
  }
  const auto at = [&](std::size_t i) { return e.at_byte(address, static_cast<std::int64_t>(i) * e.lanes() * 2); };
  std::size_t i = 0;
  for (; i + 1 < vectors.size(); i += 2) {
    auto* both =
        ir.CreateIntrinsic(llvm::Intrinsic::x86_avx512bf16_cvtne2ps2bf16_512, {}, {vectors[i + 1].value, vectors[i].value});
    e.store(both, at(i), 2 * e.lanes());
  }
  if (i == vectors.size()) return;
  auto* half = llvm::FixedVectorType::get(ir.getBFloatTy(), static_cast<unsigned>(e.lanes()));
  e.store(ir.CreateFPTrunc(vectors[i].value, half), at(i), 2 * e.lanes());
}

}  // namespace flexjit::codegen
