// Rows of elements as they lie in the caller's tensors <-> rows of reals in whole vectors.
#pragma once

#include "codegen/emit/emitter.h"
#include "flexjit/tensor.h"

namespace flexjit::codegen {

// One row of a tensor.
struct ElementsOf {
  DType dtype;
  int dims;
};

// for (d = 0; d < dims; d += lanes) body(d, elements of source from d on, zeros past the dims)
void for_vectors_of(Emitter& e, const char* name, Ptr source, const ElementsOf& of,
                    llvm::function_ref<void(Index, Float)> body);
// target[0 .. padded) = source[0 .. dims) * factor, then zeros.   factor empty: 1
void copy_row(Emitter& e, const char* name, Ptr source, const ElementsOf& of, Ptr target, Float factor);
// for (d = 0; d < dims; ++d) to[d] = factor * reals[d], rounded once
void give_row(Emitter& e, const char* name, Ptr reals, Ptr to, const ElementsOf& of, Float factor);
// body(fp32), or body(own): whichever the flag says
void of_either_type(Emitter& e, DType own, Bool is_f32, llvm::function_ref<void(DType)> body);
// Of a row: elements from d on = a vector of reals, or one of them, whichever it is; rounded once.
void give_elements(Emitter& e, Float reals, Ptr to, Index d, DType dtype);

}  // namespace flexjit::codegen
