// The backward nest's part of a plan: tiles of query rows and of keys whose five products run through the same registers, and
// where a kernel keeps what.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/kernel_key.h"
#include "plan/sizes/scratch.h"

namespace flexjit::plan {

// Byte offsets; reals are fp64 in fp64 kernels, else fp32.
struct BackwardScratch : TileSections {
  std::int64_t weights = 0;    // [q_tile][s_stride], scores, then weights in their place
  std::int64_t gradients = 0;  // [q_tile][s_stride], gradients of the weights, then of the scores
  std::int64_t row_begin = 0;  // [panels], int64: the first row of the tile that visits the panel
  std::int64_t row_end = 0;    // [panels], int64: behind the last one
  std::int64_t sums = 0;       // of a program that accumulates: three vectors of lanes, then sums_bytes for each
  std::int64_t bytes = 0;
  std::int64_t s_stride = 0;
};
inline constexpr std::int64_t kLaneBytes = 128;  // room for a vector of int64 or reals
// Bytes into the section where each accumulation has sums_bytes for what is added up first.
inline constexpr std::int64_t kSumsBegin = 3 * kLaneBytes;
std::int64_t sums_bytes(const KernelKey& key);

// What a program adds to the gradient of a captured buffer, for who adds in parallel.
struct BufferSums {
  std::uint32_t buffer = 0;  // slot
  // The dimensions whose index is q_idx, kv_idx, b and h, or one of them and something uniform, whatever pair adds: pairs,
  // batch entries and heads that differ add to different elements. -1: none.
  std::int32_t of_query = -1, of_key = -1, of_batch = -1, of_head = -1;  // of_head: or kv_head
};
// One for each buffer that is added to.
std::vector<BufferSums> buffer_sums_of(const KernelKey& key);

Tiling backward_tiling(const KernelKey& key);
// The key of the kernel of gradients that belongs to a prefill kernel. `gradient` is the program of that one, differentiated.
KernelKey backward_key_of(const KernelKey& prefill, ir::Program gradient);
BackwardScratch backward_scratch_of(const KernelKey& key);
KernelLayout backward_layout_of(const KernelKey& key);

}  // namespace flexjit::plan
