// Counters and keys -> random numbers, as ir/evaluate/philox.h has them, of lanes that differ in as little as one word of the
// counter. What scalars alone decide, about a third of the multiplications where lanes run along keys, is computed by scalars,
// outside the loop over the lanes if there is a place for it.
#pragma once

#include <array>

#include "codegen/emit/emitter.h"

namespace flexjit::codegen {

struct PhiloxOperands {
  // Ints, each a scalar or a vector.
  std::array<Int, 4> counter;
  std::array<Int, 2> key;
  llvm::BasicBlock* outside = nullptr;  // where all scalars are known; null: only here
};

// 2^-32 times word 0, rounded to fp32.
Float emit_philox(Emitter& e, const PhiloxOperands& x);
// 2^-32 times word c[1] & 3 for the counter c[0], c[1] >> 2, c[2], c[3].
Float emit_philox_of_four(Emitter& e, const PhiloxOperands& x);
// The same where c[1] is `first`, first + 1, ... from lane to lane, a multiple of the lanes, and all else is scalar: a block
// for each four lanes. Lanes are a multiple of four.
Float emit_philox_of_four_neighbours(Emitter& e, const PhiloxOperands& x, Int first);

}  // namespace flexjit::codegen
