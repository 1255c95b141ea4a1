// For each chunk of rows: which of them visit the same keys, then those keys cut at the splits.
#include "runtime/decode/decode_plan.h"
#include "support/rounding.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>
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

std::int64_t keys_per_split(std::int32_t kv_len) {
  const std::int64_t wanted = std::clamp(divide_up(kv_len, kSplits), kMinSplit, kMaxSplit);
  return round_up(std::max(wanted, divide_up(kv_len, kMaxSplits)), kSplitMultiple);
}

std::int64_t splits_of(std::int32_t kv_len) { return std::max<std::int64_t>(divide_up(kv_len, keys_per_split(kv_len)), 1); }

std::int64_t DecodeWork::most_splits() const {
  std::int64_t most = 1;
  for (const SequenceWork& work : sequences) most = std::max(most, splits_of(work.sequence->kv_len));
  return most;
}

void DecodePlan::start(const DecodeWork& work) {
  work_ = work;
  first_chunk_.assign(1, 0);
  for (const SequenceWork& sequence : work.sequences)
    first_chunk_.push_back(first_chunk_.back() + work.kv_heads * work.chunks_per_pair(sequence));
}

// Whether all rows of the sequence visit the same keys.
bool DecodePlan::one_plane(const SequenceWork& of) const {
  return of.mask == nullptr || (of.mask->shape().heads == 1 && of.sequence->q_len <= of.mask->shape().q_block);
}

std::int64_t DecodePlan::state_of(std::int32_t rows) const { return round_up(rows * work_.row_floats, kStateMultiple); }

std::int64_t DecodePlan::chunks_per_wave() const {
  std::int64_t most_bytes = 1, most_items = 1;
  for (const SequenceWork& of : work_.sequences) {
    const std::int64_t rows = std::min<std::int64_t>(work_.rows(of), work_.q_tile);
    if (rows == 0) continue;
    const std::int64_t parts = one_plane(of) ? 1 : rows, items = splits_of(of.sequence->kv_len) * parts;
    const std::int64_t floats = items * state_of(static_cast<std::int32_t>(divide_up(rows, parts)));
    most_bytes = std::max(most_bytes, floats * static_cast<std::int64_t>(sizeof(float)));
    most_items = std::max(most_items, items);
  }
  const std::int64_t chunks = std::max<std::int64_t>(first_chunk_.back(), 1);
  return std::clamp<std::int64_t>(std::min(kStateBudget / most_bytes, kDecodeWaveItems / most_items), 1, chunks);
}

DecodeRows DecodePlan::rows_of(std::int64_t chunk) const {
  const auto after = std::ranges::upper_bound(first_chunk_, chunk);
  const auto sequence = static_cast<std::size_t>(after - first_chunk_.begin() - 1);
  const SequenceWork& of = work_.sequences[sequence];
  const std::int64_t local = chunk - first_chunk_[sequence], per_pair = work_.chunks_per_pair(of);
  const std::int64_t begin = local % per_pair * work_.q_tile;
  return {.sequence = static_cast<std::int32_t>(sequence),
          .kv_head = static_cast<std::int32_t>(local / per_pair),
          .begin = begin,
          .count = static_cast<std::int32_t>(std::min<std::int64_t>(work_.rows(of) - begin, work_.q_tile))};
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
  cut_sequence_ = -1;
  spans_.clear();
  items_.clear();
  first_item_.clear();
  state_floats_ = 0;
  for (std::int64_t chunk = wave.begin; chunk < wave.end; ++chunk) {
    first_item_.push_back(items_.size());
    add_chunk(rows_of(chunk));
  }
  first_item_.push_back(items_.size());
  reading_order_.resize(items_.size());
  std::iota(reading_order_.begin(), reading_order_.end(), std::size_t{0});
  first_of_reading_.resize(items_.size() + 1);
  std::iota(first_of_reading_.begin(), first_of_reading_.end(), std::size_t{0});
  if (work_.rows_mix && work_.page_size > 0 && work_.sequences.size() > 1) join_items();
  join_heads();
}

std::span<const std::int64_t> DecodePlan::turn(std::int64_t index) const {
  const auto i = static_cast<std::size_t>(index);
  return std::span(turn_order_).subspan(first_of_turn_[i], first_of_turn_[i + 1] - first_of_turn_[i]);
}

// Each reading with those of the heads after it.
void DecodePlan::join_heads() {
  const auto count = static_cast<std::size_t>(readings());
  turn_order_.resize(count);
  std::iota(turn_order_.begin(), turn_order_.end(), std::int64_t{0});
  first_of_turn_.resize(count + 1);
  std::iota(first_of_turn_.begin(), first_of_turn_.end(), std::size_t{0});
  if (work_.heads_together == 1) return;
  const auto first_of = [&](std::size_t reading) -> const DecodeItem& {
    return items_[reading_order_[first_of_reading_[reading]]];
  };
  std::map<std::tuple<std::int32_t, std::int64_t, std::int64_t>, std::size_t> open;  // sequence, row and split -> turn
  std::vector<std::vector<std::int64_t>> turns;
  for (std::size_t reading = 0; reading < count; ++reading) {
    const DecodeItem& item = first_of(reading);
    const auto [found, is_new] = open.try_emplace({item.rows.sequence, item.rows.begin, item.split}, turns.size());
    if (!is_new) {
      std::vector<std::int64_t>& turn = turns[found->second];
      const DecodeItem& before = first_of(static_cast<std::size_t>(turn.back()));
      if (static_cast<std::int32_t>(turn.size()) < work_.heads_together && item.rows.kv_head == before.rows.kv_head + 1 &&
          same_spans(spans(before), spans(item))) {
        turn.push_back(static_cast<std::int64_t>(reading));
        continue;
      }
      found->second = turns.size();
    }
    turns.push_back({static_cast<std::int64_t>(reading)});
  }
  turn_order_.clear();
  first_of_turn_.assign(1, 0);
  for (const std::vector<std::int64_t>& turn : turns) {
    turn_order_.insert(turn_order_.end(), turn.begin(), turn.end());
    first_of_turn_.push_back(turn_order_.size());
  }
}

std::span<const std::size_t> DecodePlan::reading(std::int64_t index) const {
  const auto i = static_cast<std::size_t>(index);
  return std::span(reading_order_).subspan(first_of_reading_[i], first_of_reading_[i + 1] - first_of_reading_[i]);
}

// Of items of one kv head.
bool DecodePlan::reads_the_same(const DecodeItem& a, const DecodeItem& b) const {
  if (!same_spans(spans(a), spans(b))) return false;
  const std::int32_t *pages_a = work_of(a.rows).sequence->pages, *pages_b = work_of(b.rows).sequence->pages;
  const std::int32_t first = spans(a).front().begin / work_.page_size, last = (spans(a).back().end - 1) / work_.page_size;
  return std::equal(pages_a + first, pages_a + last + 1, pages_b + first);
}

// Items whose pairs are all allowed, each with the first one before it that reads the same pages, as long as their rows fit one
// item. What a row sees of them stays as it was, and so do its bits.
void DecodePlan::join_items() {
  struct Reading {
    std::vector<std::size_t> items;
    std::int32_t rows = 0;
  };
  std::vector<Reading> readings;
  std::map<std::tuple<std::int32_t, std::int64_t, std::int32_t>, std::size_t> open;  // kv head, split and first page -> reading
  bool joined = false;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    const DecodeItem& item = items_[i];
    const auto asks = [](const plan::SpanArg& span) { return span.kind == plan::SpanKind::kMasked; };
    const plan::Sequence& sequence = *work_of(item.rows).sequence;
    if (sequence.pages == nullptr || std::ranges::any_of(spans(item), asks)) {
      readings.push_back({{i}, item.rows.count});
      continue;
    }
    const std::int32_t first_page = sequence.pages[spans(item).front().begin / work_.page_size];
    const auto [found, is_new] = open.try_emplace({item.rows.kv_head, item.split, first_page}, readings.size());
    if (!is_new) {
      Reading& reading = readings[found->second];
      if (reading.rows + item.rows.count <= work_.q_tile && reads_the_same(items_[reading.items.front()], item)) {
        reading.items.push_back(i);
        reading.rows += item.rows.count;
        joined = true;
        continue;
      }
      found->second = readings.size();
    }
    readings.push_back({{i}, item.rows.count});
  }
  if (!joined) return;
  state_floats_ = 0;
  reading_order_.clear();
  first_of_reading_.assign(1, 0);
  for (const Reading& reading : readings) {
    std::int32_t row = 0;
    for (std::size_t i : reading.items) {
      items_[i].state = state_floats_;
      items_[i].first_row = row;
      items_[i].block_rows = reading.rows;
      row += items_[i].rows.count;
      reading_order_.push_back(i);
    }
    first_of_reading_.push_back(reading_order_.size());
    state_floats_ += state_of(reading.rows);
  }
}

void DecodePlan::add_chunk(const DecodeRows& rows) {
  const SequenceWork& work = work_of(rows);
  if (one_plane(work)) {
    // Neighbours share the spans that were cut last.
    const bool cut_already = cut_sequence_ >= 0 && (cut_sequence_ == rows.sequence ||
                                                    work.same_plan(work_.sequences[static_cast<std::size_t>(cut_sequence_)]));
    if (!cut_already) {
      find_parts(rows);
      cut(parts_.front(), keys_per_split(work.sequence->kv_len));
      cut_sequence_ = rows.sequence;
    }
    return add_items(rows, {.row = rows.begin, .count = rows.count});
  }
  find_parts(rows);
  if (work_.origin == MaskOrigin::kDerived && parts_.size() > 1) unite_parts();
  const std::size_t first = items_.size();
  for (const Part& part : parts_) {
    cut(part, keys_per_split(work.sequence->kv_len));
    add_items(rows, part);
  }
  if (parts_.size() == 1) return;
  std::ranges::sort(std::span(items_).subspan(first), {},
                    [](const DecodeItem& item) { return std::pair(item.split, item.rows.begin); });
}

void DecodePlan::find_parts(const DecodeRows& rows) {
  visited_.clear();
  parts_.clear();
  cut_sequence_ = -1;
  const SequenceWork& work = work_of(rows);
  const std::int32_t q_len = work.sequence->q_len;
  find_holes(*work.sequence, work_.page_size, holes_);
  maker_.start(work.mask, work.sequence->kv_len, work_.strip, holes_);
  const std::int64_t end = rows.begin + rows.count;
  for (std::int64_t row = rows.begin; row < end;) {
    const auto h = static_cast<std::int32_t>(std::int64_t{rows.kv_head} * work_.group + row / q_len);
    const auto q = static_cast<std::int32_t>(row % q_len);
    std::int64_t next = end;
    if (!one_plane(work)) {
      const std::int64_t q_block = work.mask->shape().q_block;
      next = std::min(end, row - q + std::min<std::int64_t>(q_len, (q / q_block + 1) * q_block));
    }
    const auto count = static_cast<std::int32_t>(next - row);
    const std::size_t begin = visited_.size();
    maker_.append({.b = work.plane, .h = h, .q_begin = q, .q_count = count}, visited_);
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

// At multiples of `keys`.
void DecodePlan::cut(const Part& part, std::int64_t keys) {
  splits_.clear();
  for (std::size_t i = part.begin; i < part.end; ++i) {
    const plan::SpanArg& span = visited_[i];
    for (std::int64_t begin = span.begin; begin < span.end;) {
      const std::int64_t index = begin / keys;
      const std::int64_t end = std::min<std::int64_t>(span.end, (index + 1) * keys);
      if (splits_.empty() || splits_.back().index != index) splits_.push_back({index, spans_.size(), spans_.size()});
      spans_.push_back({static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end), span.kind});
      splits_.back().end = spans_.size();
      begin = end;
    }
  }
}

void DecodePlan::add_items(const DecodeRows& rows, const Part& part) {
  for (const Split& split : splits_) {
    items_.push_back({.rows = {rows.sequence, rows.kv_head, part.row, part.count},
                      .split = split.index,
                      .spans_begin = split.begin,
                      .spans_end = split.end,
                      .state = state_floats_,
                      .first_row = 0,
                      .block_rows = part.count});
    state_floats_ += state_of(part.count);
  }
}

}  // namespace flexjit::runtime
