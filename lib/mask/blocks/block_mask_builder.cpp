// Collects one plane as runs a row and expands them into FlexAttention's two compact lists when the plane is finished.
#include "mask/blocks/block_mask_builder.h"

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
    if (row.last == kKnown) list_known_row(q);
    Run* last = row.last == kNone ? nullptr : &runs_[static_cast<std::size_t>(row.last)];
    FLEXJIT_CHECK(last == nullptr || last->end <= rect.kv_begin);
    const Run* first = last == nullptr ? nullptr : &runs_[static_cast<std::size_t>(row.first)];
    const bool is_repeated = first != nullptr && first->kind == kind;
    if (last != nullptr && last->end == rect.kv_begin && last->kind == kind) {
      last->end = rect.kv_end;
      if (is_repeated && first != last) listed(kind) += rect.kv_end - rect.kv_begin;
      continue;
    }
    if (is_repeated) listed(kind) += first->end - first->begin + rect.kv_end - rect.kv_begin;
    const auto added = static_cast<std::int32_t>(runs_.size());
    (last == nullptr ? row.first : last->next) = added;
    row.last = added;
    runs_.push_back({rect.kv_begin, rect.kv_end, kind, kNone});
  }
}

void BlockMaskBuilder::add_known_row(std::int32_t q, const BlockMask& known, std::int32_t b, std::int32_t h) {
  Row& row = rows_[static_cast<std::size_t>(q)];
  FLEXJIT_CHECK(row.last == kNone);
  known_ = {&known, b, h};
  row.last = kKnown;
}

void BlockMaskBuilder::list_known_row(std::int32_t q) {
  rows_[static_cast<std::size_t>(q)] = Row{};
  std::vector<BlockRun> runs;
  known_.mask->row_runs(known_.b, known_.h, q, runs);
  for (const BlockRun& run : runs) add({q, q + 1, run.kv_begin, run.kv_end}, run.kind);
}

void BlockMaskBuilder::add_row(std::int32_t q, std::span<const BlockKind> kinds) {
  for (std::size_t begin = 0, end = 0; begin < kinds.size(); begin = end) {
    while (end < kinds.size() && kinds[end] == kinds[begin]) ++end;
    add({q, q + 1, static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end)}, kinds[begin]);
  }
}

std::int64_t BlockMaskBuilder::copy_row(std::int32_t q, const Copied& copied) {
  std::int64_t partial = 0;
  for (std::int32_t i = rows_[static_cast<std::size_t>(copied.source)].first; i != kNone;) {
    const Run run = runs_[static_cast<std::size_t>(i)];
    i = run.next;
    const std::int32_t begin = std::max(run.begin + copied.moved, copied.kv_begin);
    const std::int32_t end = std::min(run.end + copied.moved, copied.kv_end);
    if (begin >= end) continue;
    if (run.begin + copied.moved >= copied.kv_end) break;
    add({q, q + 1, begin, end}, run.kind);
    partial += run.kind == BlockKind::kPartial ? end - begin : 0;
  }
  return partial;
}

void BlockMaskBuilder::clear_plane() {
  listed_ = {};
  std::ranges::fill(rows_, Row{});
  runs_.clear();
}

void BlockMaskBuilder::finish_plane() {
  for (BlockKind kind : {BlockKind::kPartial, BlockKind::kFull}) {
    std::vector<std::int32_t>& indices = lists_of(kind).indices;
    const std::size_t wanted = indices.size() + static_cast<std::size_t>(std::exchange(listed(kind), 0));
    // Exactly for the first plane, which is the only one of most masks.
    if (wanted > indices.capacity())
      indices.reserve(mask_.full_.counts.empty() ? wanted : std::max(wanted, 2 * indices.capacity()));
  }
  for (std::size_t q = 0; q < rows_.size(); ++q) {
    if (rows_[q].last == kKnown)
      append_known_row(known_.mask->row_of(known_.b, known_.h, static_cast<std::int32_t>(q)));
    else
      append_row(rows_[q]);
  }
  clear_plane();
}

void BlockMaskBuilder::append(BlockMask::Lists& lists, std::int32_t count, std::int64_t begin) {
  lists.counts.push_back(count);
  lists.begins.push_back(begin);
  lists.total += count;
}

// A single run is a part of the list that all rows share; with a second one the row gets a list of its own.
void BlockMaskBuilder::append_row(const Row& row) {
  std::array<RowBlocks, 2> found;  // partial, full
  for (std::int32_t i = row.first; i != kNone;) {
    const Run& run = runs_[static_cast<std::size_t>(i)];
    i = run.next;
    RowBlocks& blocks = found[run.kind == BlockKind::kFull ? 1 : 0];
    std::vector<std::int32_t>& indices = lists_of(run.kind).indices;
    const auto list = [&indices](std::int64_t begin, std::int32_t count) {
      if (count == 1) return indices.push_back(static_cast<std::int32_t>(begin));
      const std::size_t end = indices.size();
      indices.resize(end + static_cast<std::size_t>(count));
      std::iota(indices.begin() + static_cast<std::ptrdiff_t>(end), indices.end(), static_cast<std::int32_t>(begin));
    };
    if (blocks.runs == 0) blocks.begin = run.begin;
    if (blocks.runs == 1) {
      const std::int64_t first = std::exchange(blocks.begin, static_cast<std::int64_t>(indices.size()));
      list(first, blocks.count);
    }
    if (blocks.runs > 0) list(run.begin, run.end - run.begin);
    blocks.count += run.end - run.begin;
    ++blocks.runs;
  }
  for (BlockKind kind : {BlockKind::kPartial, BlockKind::kFull}) {
    const RowBlocks& blocks = found[kind == BlockKind::kFull ? 1 : 0];
    append(lists_of(kind), blocks.count, blocks.begin);
  }
}

void BlockMaskBuilder::append_known_row(std::size_t row) {
  for (BlockKind kind : {BlockKind::kPartial, BlockKind::kFull}) {
    const BlockMask::Lists& known = kind == BlockKind::kFull ? known_.mask->full_ : known_.mask->partial_;
    BlockMask::Lists& lists = lists_of(kind);
    const std::int32_t count = known.counts[row];
    std::int64_t begin = known.begins[row];
    // What lies behind the list that all rows share is the row's own.
    if (begin >= known_.mask->shape_.kv_blocks() && count > 0) {
      const auto own = known.indices.begin() + begin;
      begin = static_cast<std::int64_t>(lists.indices.size());
      lists.indices.insert(lists.indices.end(), own, own + count);
    }
    append(lists, count, begin);
  }
}

BlockMask BlockMaskBuilder::build() && {
  const BlockMaskShape& shape = mask_.shape_;
  const std::int64_t rows = std::int64_t{shape.batch} * shape.heads * shape.q_blocks();
  FLEXJIT_CHECK(static_cast<std::int64_t>(mask_.partial_.counts.size()) == rows);
  return std::move(mask_);
}

}  // namespace flexjit::mask
