// The backward nest's part of a plan: tiles of query rows and of keys whose five products run through the same registers, and
// where a kernel keeps what.
#pragma once

#include <cstdint>

#include "plan/kernel_key.h"
#include "plan/scratch.h"

namespace flexjit::plan {

// Byte offsets; reals are fp64 in fp64 kernels, else fp32.
struct BackwardScratch : TileSections {
  std::int64_t weights = 0;    // [q_tile][s_stride], scores, then weights in their place
  std::int64_t gradients = 0;  // [q_tile][s_stride], gradients of the weights, then of the scores
  std::int64_t row_begin = 0;  // [panels], int64: the first row of the tile that visits the panel
  std::int64_t row_end = 0;    // [panels], int64: behind the last one
  std::int64_t bytes = 0;
  std::int64_t s_stride = 0;
};

Tiling backward_tiling(const KernelKey& key);
// The key of the kernel of gradients that belongs to a prefill kernel. `gradient` is the program of that one, differentiated.
KernelKey backward_key_of(const KernelKey& prefill, ir::Program gradient);
BackwardScratch backward_scratch_of(const KernelKey& key);
KernelLayout backward_layout_of(const KernelKey& key);

}  // namespace flexjit::plan
