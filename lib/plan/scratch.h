// Where a kernel keeps what in its per-thread scratch: shared by the planner, which sums it, and codegen, which addresses it.
#pragma once

#include <cstdint>

#include "plan/kernel_key.h"

namespace flexjit::plan {

// Byte offsets, each a multiple of 64. Row strides in fp32 elements.
struct ScratchLayout {
  std::int64_t q = 0;              // [q_tile][head_dim], scaled
  std::int64_t s = 0;              // [q_tile][s_stride], scores, then weights
  std::int64_t o = 0;              // [q_tile][v_padded], unnormalised output
  std::int64_t max_lanes = 0;      // [q_tile][lanes], running maximum of each lane
  std::int64_t row_max = 0;        // [q_tile], the maximum that o and row_sum are relative to
  std::int64_t row_sum = 0;        // [q_tile]
  std::int64_t rescale = 0;        // [q_tile], factor of o in the current key tile
  std::int64_t row_values = 0;     // [values][q_tile], sub-expressions of q_idx alone
  std::int64_t column_values = 0;  // [values][strip], sub-expressions of kv_idx alone
  std::int64_t bytes = 0;
  std::int64_t s_stride = 0;
};

ScratchLayout scratch_of(const KernelKey& key);

}  // namespace flexjit::plan
