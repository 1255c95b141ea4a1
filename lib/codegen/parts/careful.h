// What the careful passes of both nests share. A row whose output is not finite is computed once more, because a weight of 0
// times a value of NaN or infinity is NaN, where a key without weight should take no part, and because sums of large values may
// overflow before they are divided. The second pass leaves out what takes no part, and sums values / kHeadroom.
#pragma once

#include "codegen/emit/emitter.h"

namespace flexjit::codegen {

// A key takes part unless its score is -inf or its weight is 0 even in fp64: a softmax weight whose log2, relative to the row's
// maximum, is less than kVanishes; a sigmoid weight where 2^x reaches kOverflows.
inline constexpr double kVanishes = -1075;
inline constexpr double kOverflows = 1024;

// In the place of a weight: less than 0, the key takes no part.
inline constexpr double kNoPart = -1;

// A key that takes part has a weight above 0, as it has in fp64: times infinity that is infinity.
inline Float careful_weight(Emitter& e, Bool none, Float weight) {
  const Float least = e.real(e.real_bytes() == 8 ? 0x1p-1074 : 0x1p-149);
  const Float some = e.select(e.compare(FloatOrder::kLt, weight, least), least, weight);
  return e.select(none, e.real(kNoPart), some);
}

// A power of two above the number of keys.
inline constexpr double kHeadroom = 0x1p32;

// weight < 0 ? sum : sum + weight * values / kHeadroom
inline Float add_careful_product(Emitter& e, Float weight, Float values, Float sum) {
  const Bool none = e.compare(FloatOrder::kLt, weight, e.real(0.0));
  return e.select(none, sum, e.fma(weight, e.mul(values, e.real(1 / kHeadroom)), sum));
}

}  // namespace flexjit::codegen
