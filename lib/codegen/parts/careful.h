// The careful pass of both nests. A row whose output is not finite is computed once more, because a weight of 0 times a value
// of NaN or infinity is NaN, where a key without weight should take no part, and because sums of large values may overflow
// before they are divided. Scores are computed as before; the maxima and sums of the first pass are final. The second pass
// leaves out what takes no part, and sums values / kHeadroom. Only what is not finite comes here, so that the code is short
// rather than fast.
#pragma once

#include "codegen/emit/emitter.h"
#include "codegen/parts/product.h"

namespace flexjit::codegen {

// A key takes part unless its score is -inf or its weight is 0 even in fp64: a softmax weight whose log2, relative to the row's
// maximum, is less than kVanishes; a sigmoid weight where 2^x reaches kOverflows.
inline constexpr double kVanishes = -1075;
inline constexpr double kOverflows = 1024;

// In the place of a weight: less than 0, the key takes no part.
inline constexpr double kNoPart = -1;

// A power of two above the number of keys.
inline constexpr double kHeadroom = 0x1p32;

// A key that takes part has a weight above 0, as it has in fp64: times infinity that is infinity.
Float careful_weight(Emitter& e, Bool none, Float weight);

// O += P V of one row and chunk of value dims.
struct CarefulProduct {
  const RealRows& o;
  Index row;
  Chunk chunk;
  Index begin, end;                                               // keys
  llvm::function_ref<Ptr(Index key)> weight;                      // where the weight lies
  llvm::function_ref<Float(Index key, int j, Index dim)> values;  // vector j of the chunk, at dim
};
void emit_careful_product(Emitter& e, const CarefulProduct& product);

}  // namespace flexjit::codegen
