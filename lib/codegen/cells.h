// What the two products multiply: vectors of cells (an fp32, an fp64, or a pair of bf16; see plan::KernelLayout) into reals.
#pragma once

#include "codegen/emitter.h"

namespace flexjit::codegen {

// A vector of lanes cells. Its type is that of the products' operands.
struct Cells {
  llvm::Value* value = nullptr;
};

Ptr at_cell(Emitter& e, Ptr base, Index cells);
Cells load_cells(Emitter& e, Ptr address, int alignment);  // alignment in bytes
// One cell in every lane.
Cells broadcast_cell(Emitter& e, Ptr address);
// sum + a * b, lane by lane; of pairs, both products.
Float multiply_add(Emitter& e, Cells a, Cells b, Float sum);

// Copies `count` bf16 as pairs, the last one beside a 0 where count is odd; changes every sign where `negate`.
struct PairRow {
  Ptr source, target;
  std::int64_t count;
};
void copy_pairs(Emitter& e, const PairRow& row, Bool negate);

// Stores vectors.size() vectors of reals as consecutive elements of cells: reals as they are, or rounded to bf16. The address
// is aligned to one vector of what is stored.
void store_as_cells(Emitter& e, llvm::ArrayRef<Float> vectors, Ptr address);

}  // namespace flexjit::codegen
