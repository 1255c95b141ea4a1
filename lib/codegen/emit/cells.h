// What the two products multiply: vectors of cells (an fp32, an fp64, or a pair of bf16; see plan::KernelLayout) into reals.
#pragma once

#include "codegen/emit/emitter.h"

namespace flexjit::codegen {

// A vector of lanes cells. Its type is that of the products' operands.
struct Cells {
  llvm::Value* value = nullptr;
};

// One vector of cells as it lies in a row of fp32 or bf16.
struct Operands {
  int width;  // elements
  DType stored_as;
  llvm::Type* type;
};
Operands operands_of(Emitter& e);

Ptr at_cell(Emitter& e, Ptr base, Index cells);
Cells load_cells(Emitter& e, Ptr address, int alignment);  // alignment in bytes
// One cell in every lane.
Cells broadcast_cell(Emitter& e, Ptr address);
// Elements as they were loaded, as cells: widened, or two bf16 in each.
Cells as_cells(Emitter& e, llvm::Value* loaded, DType dtype);
// sum + a * b, lane by lane; of pairs, both products.
Float multiply_add(Emitter& e, Cells a, Cells b, Float sum);

// A scale = power * rest: power is a power of two, at most 1, with the sign of the scale, so that bf16 times it stays exact;
// rest is positive. Queries times power make products that do not overflow where scores do not.
struct SplitScale {
  Float power, rest;
};
SplitScale split_scale(Emitter& e, Float scale);

// Copies `count` elements as cells, times `factor`: reals, or pairs of bf16 (a power of two), the last one beside a 0 where
// count is odd.
struct ElementRow {
  Ptr source, target;
  std::int64_t count;
};
void copy_as_cells(Emitter& e, const ElementRow& row, DType dtype, Float factor);
// A vector of elements as it was loaded -> operands as they lie in a row, times `factor`.
llvm::Value* scaled_operand(Emitter& e, llvm::Value* loaded, DType dtype, Float factor);

// Stores vectors.size() vectors of reals as consecutive elements of cells: reals as they are, or rounded to bf16. The address
// is aligned to one vector of what is stored.
void store_as_cells(Emitter& e, llvm::ArrayRef<Float> vectors, Ptr address);

}  // namespace flexjit::codegen
