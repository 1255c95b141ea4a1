// For each chunk of rows: which of them visit the same keys, then those keys cut at the splits.
#include "runtime/decode_plan.h"
#include "support/rounding.h"

#include <algorithm>
#include <utility>

namespace flexjit::runtime {

namespace {

using support::divide_up;
using support::round_up;

constexpr std::int64_t kStateBudget = std::int64_t{16} << 20;  // bytes of states in one wave
constexpr std::int64_t kDecodeWaveItems = 1 << 14;             // bounds the plan of a wave
// Keys of one split: few enough that a single sequence occupies many threads, enough that starting an item does not show.
constexpr std::int64_t kMinSplit = 512;
constexpr std::int64_t kMaxSplit = 4096;
constexpr std::int64_t kSplits = 32;
constexpr std::int64_t kMaxSplits = 256;  // of one pair, whatever its length
constexpr std::int64_t kSplitMultiple = 64;
constexpr std::int64_t kStateMultiple = 16;  // floats: a state begins at a cache line
// Reading a key costs as much as computing with it for so many rows.
constexpr std::int64_t kReadingInRows = 8;

std::int64_t cost_of(std::span<const plan::SpanArg> spans, std::int64_t rows) {
  return columns_of(spans) * (kReadingInRows + rows);
}

bool same_spans(std::span<const plan::SpanArg> a, std::span<const plan::SpanArg> b) {
  return std::ranges::equal(a, b, [](const plan::SpanArg& x, const plan::SpanArg& y) {
    return x.begin == y.begin && x.end == y.end && x.kind == y.kind;
  });
}

}  // namespace

std::int64_t DecodeWork::keys_per_split() const {
  const std::int64_t wanted = std::clamp(divide_up(kv_len, kSplits), kMinSplit, kMaxSplit);
  return round_up(std::max(wanted, divide_up(kv_len, kMaxSplits)), kSplitMultiple);
}

std::int64_t DecodeWork::most_splits() const { return std::max<std::int64_t>(divide_up(kv_len, keys_per_split()), 1); }

bool DecodeWork::one_plane() const { return mask == nullptr || (mask->shape().heads == 1 && q_len <= mask->shape().q_block); }

DecodePlan::DecodePlan(const DecodeWork& work) : work_(work), keys_(work.keys_per_split()), one_plane_(work.one_plane()) {
  maker_.start(work.mask, work.kv_len, work.strip);
}

std::int64_t DecodePlan::state_of(std::int32_t rows) const { return round_up(rows * work_.row_floats, kStateMultiple); }

std::int64_t DecodePlan::chunks_per_wave() const {
  const std::int64_t rows = std::min<std::int64_t>(work_.rows(), work_.q_tile);
  const std::int64_t parts = one_plane_ ? 1 : rows, splits = work_.most_splits();
  const std::int64_t bytes =
      splits * parts * state_of(static_cast<std::int32_t>(divide_up(rows, parts))) * static_cast<std::int64_t>(sizeof(float));
  return std::clamp<std::int64_t>(std::min(kStateBudget / bytes, kDecodeWaveItems / (splits * parts)), 1, work_.chunks());
}

DecodeRows DecodePlan::rows_of(std::int64_t chunk) const {
  const std::int64_t pair = chunk / work_.chunks_per_pair(), begin = chunk % work_.chunks_per_pair() * work_.q_tile;
  return {.b = static_cast<std::int32_t>(pair / work_.kv_heads),
          .kv_head = static_cast<std::int32_t>(pair % work_.kv_heads),
          .begin = begin,
          .count = static_cast<std::int32_t>(std::min<std::int64_t>(work_.rows() - begin, work_.q_tile))};
}

std::span<const DecodeItem> DecodePlan::items_of(std::int64_t chunk) const {
  const auto local = static_cast<std::size_t>(chunk - wave_.begin);
  return std::span(items_).subspan(first_item_[local], first_item_[local + 1] - first_item_[local]);
}

std::span<const plan::SpanArg> DecodePlan::spans(const DecodeItem& item) const {
  return std::span(spans_).subspan(item.spans_begin, item.spans_end - item.spans_begin);
}

void DecodePlan::plan(const Wave& wave) {
  wave_ = wave;
  cut_plane_ = -1;
  spans_.clear();
  items_.clear();
  first_item_.clear();
  state_floats_ = 0;
  for (std::int64_t chunk = wave.begin; chunk < wave.end; ++chunk) {
    first_item_.push_back(items_.size());
    add_chunk(rows_of(chunk));
  }
  first_item_.push_back(items_.size());
}

std::int64_t DecodePlan::plane_of(const DecodeRows& rows) const {
  return work_.mask == nullptr || work_.mask->shape().batch == 1 ? 0 : rows.b;
}

void DecodePlan::add_chunk(const DecodeRows& rows) {
  if (one_plane_) {
    // Neighbours share the spans of the plane that was cut last.
    if (cut_plane_ != plane_of(rows)) {
      find_parts(rows);
      cut(parts_.front());
      cut_plane_ = plane_of(rows);
    }
    return add_items(rows, {.row = rows.begin, .count = rows.count});
  }
  find_parts(rows);
  if (work_.origin == MaskOrigin::kDerived && parts_.size() > 1) unite_parts();
  const std::size_t first = items_.size();
  for (const Part& part : parts_) {
    cut(part);
    add_items(rows, part);
  }
  if (parts_.size() == 1) return;
  std::ranges::sort(std::span(items_).subspan(first), {},
                    [](const DecodeItem& item) { return std::pair(item.split, item.rows.begin); });
}

void DecodePlan::find_parts(const DecodeRows& rows) {
  visited_.clear();
  parts_.clear();
  const std::int64_t end = rows.begin + rows.count;
  for (std::int64_t row = rows.begin; row < end;) {
    const auto h = static_cast<std::int32_t>(std::int64_t{rows.kv_head} * work_.group + row / work_.q_len);
    const auto q = static_cast<std::int32_t>(row % work_.q_len);
    std::int64_t next = end;
    if (!one_plane_) {
      const std::int64_t q_block = work_.mask->shape().q_block;
      next = std::min(end, row - q + std::min<std::int64_t>(work_.q_len, (q / q_block + 1) * q_block));
    }
    const auto count = static_cast<std::int32_t>(next - row);
    const std::size_t begin = visited_.size();
    maker_.append({.b = rows.b, .h = h, .q_begin = q, .q_count = count}, visited_);
    Part* last = parts_.empty() ? nullptr : &parts_.back();
    const std::span<const plan::SpanArg> all = visited_;
    if (last != nullptr && same_spans(all.subspan(last->begin, last->end - last->begin), all.subspan(begin))) {
      visited_.resize(begin);
      last->count += count;
    } else {
      parts_.push_back({row, count, begin, visited_.size()});
    }
    row = next;
  }
}

// All rows visit what any of them needs, where reading that once costs less than each part's own.
void DecodePlan::unite_parts() {
  const std::span<const plan::SpanArg> all = visited_;
  std::vector<plan::SpanArg> before;
  std::int64_t apart = 0, rows = 0;
  united_.clear();
  for (const Part& part : parts_) {
    const auto own = all.subspan(part.begin, part.end - part.begin);
    apart += cost_of(own, part.count);
    rows += part.count;
    if (rows == part.count) {
      united_.assign(own.begin(), own.end());
    } else {
      std::swap(before, united_);
      unite_spans(before, own, united_);
    }
  }
  if (cost_of(united_, rows) > apart) return;
  std::swap(visited_, united_);
  parts_ = {{parts_.front().row, static_cast<std::int32_t>(rows), 0, visited_.size()}};
}

// At multiples of keys_.
void DecodePlan::cut(const Part& part) {
  splits_.clear();
  for (std::size_t i = part.begin; i < part.end; ++i) {
    const plan::SpanArg& span = visited_[i];
    for (std::int64_t begin = span.begin; begin < span.end;) {
      const std::int64_t index = begin / keys_;
      const std::int64_t end = std::min<std::int64_t>(span.end, (index + 1) * keys_);
      if (splits_.empty() || splits_.back().index != index) splits_.push_back({index, spans_.size(), spans_.size()});
      spans_.push_back({static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end), span.kind});
      splits_.back().end = spans_.size();
      begin = end;
    }
  }
}

void DecodePlan::add_items(const DecodeRows& rows, const Part& part) {
  for (const Split& split : splits_) {
    items_.push_back({.rows = {rows.b, rows.kv_head, part.row, part.count},
                      .split = split.index,
                      .spans_begin = split.begin,
                      .spans_end = split.end,
                      .state = state_floats_});
    state_floats_ += state_of(part.count);
  }
}

}  // namespace flexjit::runtime
