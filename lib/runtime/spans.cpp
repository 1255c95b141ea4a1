// The partial and the full blocks of one block row, merged in ascending order, joined to runs of columns that are all allowed
// or not. The whole panels of an allowed run need nothing else; its ragged ends and every other run have exact bounds.
// An allowed run never asks the mask: what a full block of a given block mask allows is the caller's word.
#include "runtime/spans.h"

#include <algorithm>

namespace flexjit::runtime {

void SpanMaker::start(const BlockMask* mask, std::int32_t kv_len, std::int32_t panel) {
  mask_ = mask;
  kv_len_ = kv_len;
  panel_ = panel;
}

void SpanMaker::append(const TileRows& rows, std::vector<plan::SpanArg>& spans) {
  spans_ = &spans;
  first_span_ = spans.size();
  if (mask_ == nullptr) {
    append_run(0, kv_len_, true);
    return;
  }
  const std::int64_t kv_block = mask_->shape().kv_block;
  const std::int32_t block_row = rows.q_begin / mask_->shape().q_block;
  const auto partial = mask_->kv_indices(rows.b, rows.h, block_row);
  const auto full = mask_->full_kv_indices(rows.b, rows.h, block_row);
  std::size_t p = 0, f = 0;
  while (p < partial.size() || f < full.size()) {
    const bool all_allowed = p == partial.size() || (f < full.size() && full[f] < partial[p]);
    const std::span<const std::int32_t> blocks = all_allowed ? full : partial;
    std::size_t& next = all_allowed ? f : p;
    const std::int64_t first = blocks[next];
    std::int64_t end = first;
    for (; next < blocks.size() && blocks[next] == end; ++next) ++end;
    append_run(first * kv_block, std::min<std::int64_t>(end * kv_block, kv_len_), all_allowed);
  }
}

void SpanMaker::append_run(std::int64_t begin, std::int64_t end, bool all_allowed) {
  const std::int64_t inner_begin = (begin + panel_ - 1) / panel_ * panel_, inner_end = end / panel_ * panel_;
  if (!all_allowed || inner_begin >= inner_end) {
    append_span(begin, end, all_allowed ? plan::SpanKind::kCut : plan::SpanKind::kMasked);
    return;
  }
  append_span(begin, inner_begin, plan::SpanKind::kCut);
  append_span(inner_begin, inner_end, plan::SpanKind::kWhole);
  append_span(inner_end, end, plan::SpanKind::kCut);
}

void SpanMaker::append_span(std::int64_t begin, std::int64_t end, plan::SpanKind kind) {
  if (begin >= end) return;
  plan::SpanArg* last = spans_->size() > first_span_ ? &spans_->back() : nullptr;
  if (last != nullptr && last->end == begin && last->kind == kind) {
    last->end = static_cast<std::int32_t>(end);
  } else {
    spans_->push_back({static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end), kind});
  }
}

}  // namespace flexjit::runtime
