// Collects one plane as runs a row and expands them into FlexAttention's two compact lists when the plane is finished.
#include "mask/block_mask_builder.h"

#include <utility>

#include "support/check.h"

namespace flexjit::mask {

BlockMaskBuilder::BlockMaskBuilder(const BlockMaskShape& shape) {
  FLEXJIT_CHECK(shape.q_block > 0 && shape.kv_block > 0 && shape.q_len >= 0 && shape.kv_len >= 0);
  FLEXJIT_CHECK(shape.batch >= 0 && shape.heads >= 0);
  mask_.shape_ = shape;
  mask_.partial_.offsets.push_back(0);
  mask_.full_.offsets.push_back(0);
  rows_.resize(static_cast<std::size_t>(shape.q_blocks()));
}

void BlockMaskBuilder::add(const BlockRect& rect, BlockKind kind) {
  if (kind == BlockKind::kEmpty || rect.kv_begin == rect.kv_end) return;
  for (std::int32_t q = rect.q_begin; q < rect.q_end; ++q) {
    std::vector<Run>& runs = rows_[static_cast<std::size_t>(q)];
    FLEXJIT_CHECK(runs.empty() || runs.back().end <= rect.kv_begin);
    if (!runs.empty() && runs.back().end == rect.kv_begin && runs.back().kind == kind) {
      runs.back().end = rect.kv_end;
    } else {
      runs.push_back({rect.kv_begin, rect.kv_end, kind});
    }
  }
}

void BlockMaskBuilder::append_row(BlockMask::Lists& lists, std::span<const Run> runs, BlockKind kind) {
  for (const Run& run : runs) {
    if (run.kind != kind) continue;
    for (std::int32_t block = run.begin; block < run.end; ++block) lists.indices.push_back(block);
  }
  const auto end = static_cast<std::int64_t>(lists.indices.size());
  lists.counts.push_back(static_cast<std::int32_t>(end - lists.offsets.back()));
  lists.offsets.push_back(end);
}

void BlockMaskBuilder::finish_plane() {
  for (std::vector<Run>& runs : rows_) {
    append_row(mask_.partial_, runs, BlockKind::kPartial);
    append_row(mask_.full_, runs, BlockKind::kFull);
    runs.clear();
  }
}

BlockMask BlockMaskBuilder::build() && {
  const BlockMaskShape& shape = mask_.shape_;
  const std::int64_t rows = std::int64_t{shape.batch} * shape.heads * shape.q_blocks();
  FLEXJIT_CHECK(static_cast<std::int64_t>(mask_.partial_.counts.size()) == rows);
  return std::move(mask_);
}

}  // namespace flexjit::mask
