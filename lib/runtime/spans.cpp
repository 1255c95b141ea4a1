// The partial and the full blocks of one block row, merged in ascending order, joined to runs of columns that are all allowed
// or not. The whole panels of an allowed run need nothing else; its ragged ends and every other run have exact bounds.
// An allowed run never asks the mask: what a full block of a given block mask allows is the caller's word.
#include "runtime/spans.h"

#include <algorithm>
#include <limits>

namespace flexjit::runtime {

namespace {

void append_joined(std::vector<plan::SpanArg>& spans, const plan::SpanArg& span) {
  if (!spans.empty() && spans.back().end == span.begin && spans.back().kind == span.kind) {
    spans.back().end = span.end;
  } else {
    spans.push_back(span);
  }
}

plan::SpanKind common_kind(plan::SpanKind a, plan::SpanKind b) {
  if (a == b) return a;
  return a == plan::SpanKind::kMasked || b == plan::SpanKind::kMasked ? plan::SpanKind::kMasked : plan::SpanKind::kCut;
}

}  // namespace

void SpanMaker::start(const BlockMask* mask, std::int32_t kv_len, std::int32_t panel, std::span<const KeyRange> holes) {
  holes_ = holes;
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
  for (const KeyRange& hole : holes_) {
    if (hole.end <= begin) continue;
    if (hole.begin >= end) break;
    append_part(begin, hole.begin, all_allowed);
    begin = hole.end;
  }
  append_part(begin, end, all_allowed);
}

void SpanMaker::append_part(std::int64_t begin, std::int64_t end, bool all_allowed) {
  if (begin >= end) return;
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

// From one end or begin of either list to the next.
void unite_spans(std::span<const plan::SpanArg> a, std::span<const plan::SpanArg> b, std::vector<plan::SpanArg>& united) {
  united.clear();
  std::int32_t at = 0;
  while (!a.empty() || !b.empty()) {
    const bool in_a = !a.empty() && a.front().begin <= at, in_b = !b.empty() && b.front().begin <= at;
    std::int32_t next = std::numeric_limits<std::int32_t>::max();
    if (!a.empty()) next = std::min(next, in_a ? a.front().end : a.front().begin);
    if (!b.empty()) next = std::min(next, in_b ? b.front().end : b.front().begin);
    if (in_a || in_b)
      append_joined(united, {at, next, in_a && in_b ? common_kind(a.front().kind, b.front().kind) : plan::SpanKind::kMasked});
    at = next;
    if (in_a && a.front().end == at) a = a.subspan(1);
    if (in_b && b.front().end == at) b = b.subspan(1);
  }
}

std::int64_t columns_of(std::span<const plan::SpanArg> spans) {
  std::int64_t columns = 0;
  for (const plan::SpanArg& span : spans) columns += std::int64_t{span.end} - span.begin;
  return columns;
}

}  // namespace flexjit::runtime
