// Counters and keys -> random numbers, as support/philox.h has them, of lanes that differ in as little as one word of the
// counter. What scalars alone decide, about a third of the multiplications where lanes run along keys, is computed by scalars,
// outside the loop over the lanes if there is a place for it.
#pragma once

#include <llvm/ADT/SmallPtrSet.h>

#include <array>

#include "codegen/emit/emitter.h"

namespace flexjit::codegen {

struct PhiloxOperands {
  // Ints, each a scalar or a vector.
  std::array<Int, 4> counter;
  std::array<Int, 2> key;
  llvm::BasicBlock* outside = nullptr;  // where all scalars are known; null: only here
  // Those of them that are known in `outermost`, and so in every iteration of every loop.
  llvm::SmallPtrSet<llvm::Value*, 32> uniform{};
  llvm::BasicBlock* outermost = nullptr;
};

// Word 0.
Int emit_philox(Emitter& e, const PhiloxOperands& x);
// Word c[1] & 3 for the counter c[0], c[1] >> 2, c[2], c[3].
Int emit_philox_of_four(Emitter& e, const PhiloxOperands& x);
// The same where c[1] is n, n + 1, ... from lane to lane, n a multiple of the lanes, and all else is scalar. Lanes are a
// multiple of four. The second computes a block for each four lanes, of this vector and of the one that follows it, n + lanes,
// ...
Int emit_philox_of_neighbours(Emitter& e, const PhiloxOperands& x);
std::array<Int, 2> emit_philox_of_four_neighbours(Emitter& e, const PhiloxOperands& x);

}  // namespace flexjit::codegen
