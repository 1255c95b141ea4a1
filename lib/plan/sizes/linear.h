// KernelKey -> the chunk and the scratch of the nest of linear weights.
#pragma once

#include <cstdint>

#include "plan/kernel_key.h"

namespace flexjit::plan {

inline constexpr std::int32_t kMaxFeatures = 4096;

// Byte offsets; a chunk is q_tile queries or keys. Strides in reals.
struct LinearScratch {
  std::int64_t k_panels = 0;     // [chunk / lanes][head_dim][lanes], keys
  std::int64_t k_features = 0;   // [features][k_stride], by key; 0 where the mask masks
  std::int64_t kept = 0;         // [chunk]: 0 where a key is masked or not there, else 1
  std::int64_t squares = 0;      // [chunk], sums of squares of keys
  std::int64_t v = 0;            // [chunk][v_padded], values; zeros where a key is not kept
  std::int64_t faded_v = 0;      // the same times the gates of the keys that follow, where there are gates
  std::int64_t q = 0;            // [chunk][q_row_stride], queries
  std::int64_t q_squares = 0;    // [chunk], sums of squares of queries
  std::int64_t q_features = 0;   // [chunk][q_stride], zeros past the features
  std::int64_t pulled = 0;       // [chunk][q_stride], gradients of sums of squares, in the nest of rows
  std::int64_t weights = 0;      // [chunk][k_stride], of the pairs of a chunk; 0 where the key comes after the query
  std::int64_t gates = 0;        // [chunk], of keys
  std::int64_t since = 0;        // [chunk][k_stride], products of the gates after a key up to a query; 0 where it comes after
  std::int64_t since_begin = 0;  // [chunk], products of the gates of the chunk up to a query
  std::int64_t normalisers = 0;  // [chunk], 1 / the sum of a query's weights
  std::int64_t sums = 0;         // [lanes][lanes], sums of features lane by lane
  std::int64_t bytes = 0;
  std::int64_t k_stride = 0, q_stride = 0, q_row_stride = 0;
};

Tiling linear_tiling(Isa isa);
LinearScratch linear_scratch_of(const KernelKey& key);
KernelLayout linear_layout_of(const KernelKey& key);

}  // namespace flexjit::plan
