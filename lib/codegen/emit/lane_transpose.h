// Squares of lanes vectors by lanes lanes: their transpose, and the reduction of each vector to one lane of a result, both by
// butterfly steps of shuffles; and other fixed shuffles
// of lanes.
#pragma once

#include "codegen/emit/emitter.h"

namespace flexjit::codegen {

// rows[i][l] -> rows[l][i], in place; lanes vectors.
void transpose(Emitter& e, llvm::SmallVectorImpl<llvm::Value*>& rows);

// Lane i of the result is `combine` over the lanes of row i of the lanes rows of one vector each at `rows`. `combine` is
// associative and commutative up to rounding.
Float reduce_rows(Emitter& e, Ptr rows, llvm::function_ref<Float(Float, Float)> combine);

// Four vectors of fp32 -> a vector of their four sums.
llvm::Value* sum_four(Emitter& e, llvm::ArrayRef<llvm::Value*> vectors);

// Two vectors of 16-bit elements: of each 128 bits of a and b, the lower or the upper (`half`) four in turn: a, b, a, b, ...
llvm::Value* interleave(Emitter& e, llvm::Value* a, llvm::Value* b, int half);
// The lower or upper half of: four lanes of a, four of b, four of a, ...
llvm::Value* fours_in_turn(Emitter& e, llvm::Value* a, llvm::Value* b, int half);

}  // namespace flexjit::codegen
