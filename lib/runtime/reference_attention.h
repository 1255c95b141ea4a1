// Naive fp64 attention, one row at a time, over a callback that applies the pattern: the oracle and the reference backend.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "plan/kernel_abi.h"

namespace flexjit::runtime {

struct ReferenceRow {
  std::int32_t b = 0, h = 0, q_idx = 0;
};

// Replaces the scaled scores of one row (kv_len of them) by the modified ones, -inf where masked. Returns false to stop
// the whole computation (the caller keeps the reason).
using ReferencePattern = std::function<bool(const ReferenceRow& row, std::span<double> scores)>;

// launch.q/k/v/out are fp32 tensors as in kernel_abi.h; buffers and params are not read. Single-threaded. Returns false when a
// row stopped it. head_dim and v_head_dim in elements.
bool reference_attention(const plan::LaunchArg& launch, std::int32_t head_dim, std::int32_t v_head_dim,
                         const ReferencePattern& pattern);

}  // namespace flexjit::runtime
