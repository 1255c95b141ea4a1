// A decode kernel + the caller's tensors -> the output: the keys of every (batch, kv head) cut into splits that threads take
// one by one, and the states of the splits merged in their order. Knows no IR and no LLVM.
#pragma once

#include <cstdint>

#include "flexjit/block_mask.h"
#include "plan/kernel_key.h"
#include "plan/operands.h"
#include "runtime/decode_plan.h"
#include "runtime/launch.h"

namespace flexjit::runtime {

// What the merged rows are written as; the rest of the key does not matter here.
struct DecodeOutput {
  DType dtype = DType::kF32;
  plan::Weights weights = plan::Weights::kSoftmax;
};

// The block mask of a launch, and whose word it is. It may differ by head and by row: rows that visit other keys are then
// items of their own.
struct DecodeMask {
  const BlockMask* blocks = nullptr;  // null: every pair is allowed
  MaskOrigin origin = MaskOrigin::kGiven;
};

// As launch(), with kernel.decode; at most 2^31 - 1 query rows share a kv head. Splits depend on kv_len alone: a sequence gets
// the same bits for every thread count and in every batch.
LaunchOutcome decode(const Kernel& kernel, const DecodeOutput& output, const plan::Operands& operands, const DecodeMask& mask,
                     const Workers& workers);

}  // namespace flexjit::runtime
