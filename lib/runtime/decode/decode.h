// A decode kernel + the caller's tensors -> the output: the keys of every (batch, kv head) cut into splits that threads take
// one by one, and the states of the splits merged in their order. Knows no IR and no LLVM.
#pragma once

#include <cstdint>
#include <span>

#include "plan/kernel_key.h"
#include "plan/operands.h"
#include "runtime/decode/decode_plan.h"
#include "runtime/launch.h"

namespace flexjit::runtime {

// What the merged rows are written as; the rest of the key does not matter here.
struct DecodeOutput {
  DType dtype = DType::kF32;
  plan::Weights weights = plan::Weights::kSoftmax;
};

// Whose word the masks are, and whether rows of sequences may mix (DecodeWork::rows_mix).
struct DecodeRules {
  MaskOrigin origin = MaskOrigin::kGiven;
  bool rows_mix = false;
};

// As launch(), with kernel.decode; at most 2^31 - 1 query rows of a sequence share a kv head. Block masks, whose word they all
// are, may differ by head and by row: rows that visit other keys are then items of their own. Splits depend on kv_len alone: a
// sequence gets the same bits for every thread count and in every batch.
LaunchOutcome decode(const Kernel& kernel, const DecodeOutput& output, const plan::Operands& operands,
                     std::span<const SequenceWork> work, const DecodeRules& rules, const Workers& workers);

}  // namespace flexjit::runtime
