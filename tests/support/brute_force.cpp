// Any and all over each block, in the plainest way.
#include "support/brute_force.h"

#include <algorithm>

namespace flexjit::test {

namespace {

BlockKind kind_of(const BlockMaskShape& shape, int q_block, int kv_block, const std::function<bool(int, int)>& allowed) {
  bool any = false, all = true;
  for (int q = q_block * shape.q_block; q < std::min((q_block + 1) * shape.q_block, shape.q_len); ++q) {
    for (int kv = kv_block * shape.kv_block; kv < std::min((kv_block + 1) * shape.kv_block, shape.kv_len); ++kv) {
      const bool open = allowed(q, kv);
      any = any || open;
      all = all && open;
    }
  }
  if (all) return BlockKind::kFull;
  return any ? BlockKind::kPartial : BlockKind::kEmpty;
}

}  // namespace

std::vector<BlockKind> brute_force_kinds(const BlockMaskShape& shape, const Allowed& allowed) {
  std::vector<BlockKind> kinds;
  for (int b = 0; b < shape.batch; ++b) {
    for (int h = 0; h < shape.heads; ++h) {
      const auto plane = [&](int q, int kv) { return allowed(b, h, q, kv); };
      for (int i = 0; i < shape.q_blocks(); ++i) {
        for (int j = 0; j < shape.kv_blocks(); ++j) kinds.push_back(kind_of(shape, i, j, plane));
      }
    }
  }
  return kinds;
}

BlockMask brute_force_mask(const BlockMaskShape& shape, const Allowed& allowed) {
  return BlockMask::from_kinds(shape, brute_force_kinds(shape, allowed)).value();
}

}  // namespace flexjit::test
