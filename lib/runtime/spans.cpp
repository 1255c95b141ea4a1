// The visited blocks of all block rows under the tile are merged, joined to runs of columns that are all allowed or not, and
// rounded to strips: a run of allowed columns inwards, its ragged ends and every other run outwards as masked strips.
#include "runtime/spans.h"

#include <algorithm>

namespace flexjit::runtime {

void SpanMaker::start(const BlockMask* mask, std::int32_t kv_len, std::int32_t strip) {
  mask_ = mask;
  kv_len_ = kv_len;
  strip_ = strip;
}

void SpanMaker::merge_cells(std::span<const std::int32_t> blocks, std::int32_t full_rows) {
  if (blocks.empty()) return;
  merged_.clear();
  auto cell = cells_.begin();
  for (std::int32_t block : blocks) {
    while (cell != cells_.end() && cell->block < block) merged_.push_back(*cell++);
    const bool known = cell != cells_.end() && cell->block == block;
    merged_.push_back({block, full_rows + (known ? cell->full_rows : 0)});
    if (known) ++cell;
  }
  merged_.insert(merged_.end(), cell, cells_.end());
  cells_.swap(merged_);
}

void SpanMaker::collect_cells(const TileRows& rows) {
  cells_.clear();
  const std::int32_t q_block = mask_->shape().q_block;
  const std::int32_t last = (rows.q_begin + rows.q_count - 1) / q_block;
  for (std::int32_t row = rows.q_begin / q_block; row <= last; ++row) {
    merge_cells(mask_->kv_indices(rows.b, rows.h, row), 0);
    merge_cells(mask_->full_kv_indices(rows.b, rows.h, row), 1);
  }
}

void SpanMaker::append(const TileRows& rows, std::vector<plan::SpanArg>& spans) {
  spans_ = &spans;
  first_span_ = spans.size();
  if (mask_ == nullptr) {
    append_columns(0, kv_len_, true);
    return;
  }
  collect_cells(rows);
  const std::int64_t q_block = mask_->shape().q_block, kv_block = mask_->shape().kv_block;
  const std::int64_t block_rows = (rows.q_begin + rows.q_count - 1) / q_block - rows.q_begin / q_block + 1;
  for (std::size_t i = 0; i < cells_.size();) {
    const std::int32_t first = cells_[i].block;
    const bool all_allowed = cells_[i].full_rows == block_rows;
    std::int32_t end = first;
    for (; i < cells_.size() && cells_[i].block == end && (cells_[i].full_rows == block_rows) == all_allowed; ++i) ++end;
    append_columns(first * kv_block, std::min<std::int64_t>(end * kv_block, kv_len_), all_allowed);
  }
}

void SpanMaker::append_columns(std::int64_t begin, std::int64_t end, bool all_allowed) {
  const std::int64_t outer_begin = begin / strip_, outer_end = (end + strip_ - 1) / strip_;
  const std::int64_t inner_begin = (begin + strip_ - 1) / strip_, inner_end = end / strip_;
  if (!all_allowed || inner_begin >= inner_end) {
    append_strips(outer_begin, outer_end, 1);
    return;
  }
  append_strips(outer_begin, inner_begin, 1);
  append_strips(inner_begin, inner_end, 0);
  append_strips(inner_end, outer_end, 1);
}

// Two runs of columns can share one strip, and then both have it masked; it is taken once.
void SpanMaker::append_strips(std::int64_t begin, std::int64_t end, std::int32_t masked) {
  plan::SpanArg* last = spans_->size() > first_span_ ? &spans_->back() : nullptr;
  const std::int64_t visited = last == nullptr ? 0 : (last->end + std::int64_t{strip_} - 1) / strip_;
  begin = std::max(begin, visited);
  if (begin >= end) return;
  const auto column = static_cast<std::int32_t>(begin * strip_);
  const auto column_end = static_cast<std::int32_t>(std::min<std::int64_t>(end * strip_, kv_len_));
  if (last != nullptr && last->end == column && last->masked == masked) {
    last->end = column_end;
  } else {
    spans_->push_back({column, column_end, masked});
  }
}

}  // namespace flexjit::runtime
