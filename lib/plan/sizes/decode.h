// The decode nest's part of a plan: few query rows against long keys that are read once, as they lie. How many rows and keys
// a step takes, and where the kernel keeps what.
#pragma once

#include <cstdint>

#include "plan/kernel_key.h"

namespace flexjit::plan {

// Byte offsets, each a multiple of 64. Rows are those of one work item.
struct DecodeScratch {
  std::int64_t q = 0;                         // [q_tile][q_stride], as the products read them: scaled fp32, or bf16 pairs
  std::int64_t s = 0;                         // [q_tile][kv_tile], scores, then weights
  std::int64_t k_rows = 0;                    // [kv_tile], int32: the row of K of each column
  std::int64_t v_rows = 0;                    // [kv_tile], int64: where its row of V lies
  std::int64_t k_to_come = 0, v_to_come = 0;  // [kv_tile], int32: the rows that are prefetched meanwhile
  std::int64_t real_rows = 0;                 // [kv_tile][real_stride], rows of quantised K, then of V, as fp32, where several
                                              // micro-tiles of query rows read them
  std::int64_t k_scales = 0, v_scales = 0;    // [kv_tile], of quantised K and V, where a row has one
  std::int64_t sum_lanes = 0;                 // [q_tile][lanes], sum of the weights of each lane
  std::int64_t unsettled = 0;                 // [q_tile], int32: 0 where the state is written for good
  std::int64_t row_values = 0;                // [values][q_tile], sub-expressions of h and q_idx
  std::int64_t column_values = 0;             // [values][kv_tile], sub-expressions of kv_idx alone
  std::int64_t bytes = 0;
  std::int64_t real_stride = 0;  // fp32s; the longer head dim, padded to what is converted at once
  std::int64_t q_stride = 0;     // elements; head_dim padded with zeros to whole vectors
};

// From a key whose rows are read to the one whose rows of `dims` elements are prefetched meanwhile.
std::int32_t keys_ahead(const KernelKey& key, std::int32_t dims);

// Whether the nest computes with these element types; fp64 is left to the prefill nest.
bool can_decode(const ElementTypes& types);

Tiling decode_tiling(Isa isa, const ElementTypes& types);
// The key of the decode kernel that belongs to a prefill kernel; types of which can_decode.
KernelKey decode_key_of(const KernelKey& prefill);
DecodeScratch decode_scratch_of(const KernelKey& key);
KernelLayout decode_layout_of(const KernelKey& key);

}  // namespace flexjit::plan
