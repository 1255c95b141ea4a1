// A decode kernel + the caller's tensors -> the output: the keys of every (batch, kv head) cut into splits that threads take
// one by one, and the states of the splits merged in their order. Knows no IR and no LLVM.
#pragma once

#include <cstdint>

#include "flexjit/block_mask.h"
#include "plan/kernel_abi.h"
#include "plan/kernel_key.h"
#include "runtime/launch.h"

namespace flexjit::runtime {

// What the merged rows are written as; the rest of the key does not matter here.
struct DecodeOutput {
  DType dtype = DType::kF32;
  plan::Weights weights = plan::Weights::kSoftmax;
};

// Whether all query rows that share a kv head visit the same keys: the nest reads keys once for all of them.
bool serves_decode(const BlockMaskShape& mask, const plan::LaunchArg& launch);

// As launch(), with kernel.decode. `mask` null, or one that serves_decode. Splits depend on kv_len alone: a sequence gets the
// same bits for every thread count and in every batch.
LaunchOutcome decode(const Kernel& kernel, const DecodeOutput& output, const plan::LaunchArg& launch, const BlockMask* mask,
                     const Workers& workers);

}  // namespace flexjit::runtime
