// The exact block mask of a predicate by looking at every pair: what block masks are compared with.
#pragma once

#include <functional>
#include <vector>

#include "flexjit/block_mask.h"

namespace flexjit::test {

using Allowed = std::function<bool(int b, int h, int q, int kv)>;

// One kind a block, (batch, heads, q_blocks, kv_blocks).
std::vector<BlockKind> brute_force_kinds(const BlockMaskShape& shape, const Allowed& allowed);
BlockMask brute_force_mask(const BlockMaskShape& shape, const Allowed& allowed);

}  // namespace flexjit::test
