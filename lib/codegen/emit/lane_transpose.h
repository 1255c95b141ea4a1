// Squares of lanes vectors by lanes lanes: their transpose, and the reduction of each vector to one lane of a result, both by
// butterfly steps of shuffles; and the sums of four vectors.
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

}  // namespace flexjit::codegen
