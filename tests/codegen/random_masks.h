// seed -> a random mask over positions, a few uniform values and small buffers, in the operations that interval arithmetic
// knows and some that it does not. Its comparisons are of values near each other, so that many rectangles are decided.
#pragma once

#include <cstdint>

#include "ir/program/program.h"

namespace flexjit::test {

// The buffers of every program, of kPeriod elements each; all are read at an index modulo kPeriod.
inline constexpr std::int32_t kPeriod = 16;
enum MaskBuffer : std::uint32_t {
  kIntsOfRows,      // i32, at q_idx
  kIntsOfColumns,   // i32, at kv_idx
  kFlagsOfRows,     // bool, at q_idx
  kFlagsOfColumns,  // bool, at kv_idx
  kLongsOfRows,     // i64, at q_idx
  kIntsOfPairs,     // i32, at q_idx + kv_idx
};

// With one int param.
ir::Program random_mask(std::uint64_t seed);

}  // namespace flexjit::test
