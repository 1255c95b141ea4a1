// Collects one plane as runs a row and expands them into FlexAttention's two compact lists when the plane is finished.
#include "mask/block_mask_builder.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "support/check.h"

namespace flexjit::mask {

BlockMaskBuilder::BlockMaskBuilder(const BlockMaskShape& shape) {
  FLEXJIT_CHECK(shape.q_block > 0 && shape.kv_block > 0 && shape.q_len >= 0 && shape.kv_len >= 0);
  FLEXJIT_CHECK(shape.batch >= 0 && shape.heads >= 0);
  mask_.shape_ = shape;
  for (BlockMask::Lists* lists : {&mask_.partial_, &mask_.full_}) {
    lists->indices.resize(static_cast<std::size_t>(shape.kv_blocks()));
    std::iota(lists->indices.begin(), lists->indices.end(), 0);
  }
  rows_.resize(static_cast<std::size_t>(shape.q_blocks()));
  // One plane's: more is not promised by a shape that came from outside.
  for (BlockMask::Lists* lists : {&mask_.partial_, &mask_.full_}) {
    lists->counts.reserve(rows_.size());
    lists->begins.reserve(rows_.size());
  }
}

void BlockMaskBuilder::add(const BlockRect& rect, BlockKind kind) {
  if (kind == BlockKind::kEmpty || rect.kv_begin == rect.kv_end) return;
  for (std::int32_t q = rect.q_begin; q < rect.q_end; ++q) {
    Row& row = rows_[static_cast<std::size_t>(q)];
    Run* last = row.last == kNone ? nullptr : &runs_[static_cast<std::size_t>(row.last)];
    FLEXJIT_CHECK(last == nullptr || last->end <= rect.kv_begin);
    if (last != nullptr && last->end == rect.kv_begin && last->kind == kind) {
      last->end = rect.kv_end;
      continue;
    }
    const auto added = static_cast<std::int32_t>(runs_.size());
    (last == nullptr ? row.first : last->next) = added;
    row.last = added;
    runs_.push_back({rect.kv_begin, rect.kv_end, kind, kNone});
  }
}

void BlockMaskBuilder::add_row(std::int32_t q, std::span<const BlockKind> kinds) {
  for (std::size_t begin = 0, end = 0; begin < kinds.size(); begin = end) {
    while (end < kinds.size() && kinds[end] == kinds[begin]) ++end;
    add({q, q + 1, static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end)}, kinds[begin]);
  }
}

BlockMaskBuilder::RowBlocks BlockMaskBuilder::blocks_of(const Row& row, BlockKind kind) const {
  RowBlocks found;
  for (std::int32_t i = row.first; i != kNone; i = runs_[static_cast<std::size_t>(i)].next) {
    const Run& run = runs_[static_cast<std::size_t>(i)];
    if (run.kind != kind) continue;
    found.begin = run.begin;
    found.count += run.end - run.begin;
    ++found.runs;
  }
  return found;
}

// A single run is a part of the list that all rows share. What the others add is counted before, so that the list grows once.
void BlockMaskBuilder::append_rows(BlockMask::Lists& lists, BlockKind kind) const {
  std::size_t added = lists.indices.size();
  for (const Row& row : rows_) {
    if (const RowBlocks blocks = blocks_of(row, kind); blocks.runs > 1) added += static_cast<std::size_t>(blocks.count);
  }
  if (added > lists.indices.capacity()) {
    lists.indices.reserve(lists.counts.empty() ? added : std::max(added, 2 * lists.indices.capacity()));
  }
  for (const Row& row : rows_) {
    const RowBlocks blocks = blocks_of(row, kind);
    lists.counts.push_back(blocks.count);
    lists.begins.push_back(blocks.runs > 1 ? static_cast<std::int64_t>(lists.indices.size()) : blocks.begin);
    lists.total += blocks.count;
    if (blocks.runs < 2) continue;
    for (std::int32_t i = row.first; i != kNone; i = runs_[static_cast<std::size_t>(i)].next) {
      const Run& run = runs_[static_cast<std::size_t>(i)];
      for (std::int32_t block = run.begin; block < run.end && run.kind == kind; ++block) lists.indices.push_back(block);
    }
  }
}

void BlockMaskBuilder::finish_plane() {
  append_rows(mask_.partial_, BlockKind::kPartial);
  append_rows(mask_.full_, BlockKind::kFull);
  std::ranges::fill(rows_, Row{});
  runs_.clear();
}

BlockMask BlockMaskBuilder::build() && {
  const BlockMaskShape& shape = mask_.shape_;
  const std::int64_t rows = std::int64_t{shape.batch} * shape.heads * shape.q_blocks();
  FLEXJIT_CHECK(static_cast<std::int64_t>(mask_.partial_.counts.size()) == rows);
  return std::move(mask_);
}

}  // namespace flexjit::mask
