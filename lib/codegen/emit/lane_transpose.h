// Squares of lanes vectors by lanes lanes: their transpose, and the reduction of each vector to one lane of a result, both by
// butterfly steps of shuffles.
#pragma once

#include "codegen/emit/emitter.h"

namespace flexjit::codegen {

// rows[i][l] -> rows[l][i], in place; lanes vectors.
void transpose(Emitter& e, llvm::SmallVectorImpl<llvm::Value*>& rows);

// Lane i of the result is `combine` over the lanes of rows[i]; lanes vectors. `combine` is associative and commutative up to
// rounding.
Float reduce_each(Emitter& e, llvm::ArrayRef<Float> rows, llvm::function_ref<Float(Float, Float)> combine);

}  // namespace flexjit::codegen
