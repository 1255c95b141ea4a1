// Plans a wave: the spans of every (mask plane, query tile) that it needs, made once and shared by all heads of one plane,
// then one item a (b, h, tile).
#include "runtime/schedule.h"

#include <algorithm>
#include <bit>
#include <tuple>

namespace flexjit::runtime {

namespace {

constexpr std::int32_t kPackColumns = 512;  // of one packing item, rounded up to panels

// In columns: what starting and finishing a tile costs beside its scores.
constexpr std::int64_t kTileOverhead = 32;

// A masked column costs about a quarter more than an allowed one; only the order of the tiles depends on it.
std::int64_t cost_of(std::span<const plan::SpanArg> spans) {
  std::int64_t quarters = 4 * kTileOverhead;
  for (const plan::SpanArg& span : spans)
    quarters += (span.kind != plan::SpanKind::kWhole ? 5 : 4) * std::int64_t{span.end - span.begin};
  return quarters;
}

template <typename T>
std::size_t bytes_of(const std::vector<T>& values) {
  return values.capacity() * sizeof(T);
}

}  // namespace

WorkShape shape_of(const plan::Operands& of, const plan::KernelLayout& layout, const BlockMask* mask) {
  return {.batch = of.batch_size,
          .q_heads = of.num_heads,
          .kv_heads = of.num_kv_heads,
          .q_len = of.q_len,
          .kv_len = of.kv_len,
          .q_tile = layout.q_tile,
          .q_block = mask != nullptr ? mask->shape().q_block : layout.q_tile,
          .panel = layout.lanes};
}

std::int64_t WorkShape::q_tiles() const {
  const std::int64_t tiles = (std::int64_t{q_len} % q_block + q_tile - 1) / q_tile;
  return q_len / q_block * tiles_per_block() + tiles;
}

QueryRows WorkShape::rows_of(std::int64_t tile) const {
  const std::int64_t block = tile / tiles_per_block() * q_block;
  const std::int64_t begin = block + tile % tiles_per_block() * q_tile;
  const std::int64_t end = std::min({begin + q_tile, block + q_block, std::int64_t{q_len}});
  return {static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end - begin)};
}

void Schedule::start(const WorkShape& shape, const BlockMask* mask) {
  shape_ = shape;
  mask_ = mask;
  maker_.start(mask, shape.kv_len, shape.panel);
  planes_.clear();
  spans_.clear();
}

void Schedule::plan(const Wave& wave) {
  wave_ = wave;
  make_spans();
  items_.clear();
  packs_.clear();
  reaches_.assign(static_cast<std::size_t>(wave.end - wave.begin), Reach{});
  pair_cost_.assign(reaches_.size(), 0);
  visited_slots_ = {-1, -1};
  for (std::int64_t pair = wave.begin; pair < wave.end; ++pair) {
    add_items(pair);
    find_visited(pair);
    add_packs(pair);
  }
  order_items();
}

std::int32_t Schedule::first_head(std::int64_t pair) const {
  return static_cast<std::int32_t>(pair % shape_.kv_heads) * shape_.group() + wave_.head_begin;
}

std::int32_t Schedule::heads() const { return wave_.head_end == 0 ? shape_.group() : wave_.head_end - wave_.head_begin; }

std::int64_t Schedule::slot_of(std::int64_t plane) const { return std::ranges::lower_bound(planes_, plane) - planes_.begin(); }

std::int64_t Schedule::plane_of(std::int32_t b, std::int32_t h) const {
  if (mask_ == nullptr) return 0;
  const BlockMaskShape& shape = mask_->shape();
  return (shape.batch == 1 ? 0 : std::int64_t{b} * shape.heads) + (shape.heads == 1 ? 0 : h);
}

// The table of the wave before is kept when it holds the same planes, as it always does for a mask of one plane.
void Schedule::make_spans() {
  wanted_planes_.clear();
  for (std::int64_t pair = wave_.begin; pair < wave_.end; ++pair) {
    const auto b = static_cast<std::int32_t>(pair / shape_.kv_heads);
    // Without planes by head, all heads are one.
    const std::int32_t h = first_head(pair), count = mask_ == nullptr || mask_->shape().heads == 1 ? 1 : heads();
    for (std::int32_t i = 0; i < count; ++i) wanted_planes_.push_back(plane_of(b, h + i));
  }
  std::ranges::sort(wanted_planes_);
  wanted_planes_.erase(std::unique(wanted_planes_.begin(), wanted_planes_.end()), wanted_planes_.end());
  if (wanted_planes_ == planes_) return;
  planes_ = wanted_planes_;
  spans_.clear();
  offsets_.assign(1, 0);
  costs_.clear();
  for (std::int64_t plane : planes_) {
    for (std::int64_t tile = 0; tile < shape_.q_tiles(); ++tile) make_tile(plane, tile);
  }
}

void Schedule::make_tile(std::int64_t plane, std::int64_t tile) {
  TileRows rows;
  if (mask_ != nullptr) {
    rows.b = static_cast<std::int32_t>(plane / mask_->shape().heads);
    rows.h = static_cast<std::int32_t>(plane % mask_->shape().heads);
  }
  const QueryRows queries = shape_.rows_of(tile);
  rows.q_begin = queries.begin;
  rows.q_count = queries.count;
  maker_.append(rows, spans_);
  const std::size_t first = offsets_.back();
  offsets_.push_back(spans_.size());
  costs_.push_back(rows.q_count * cost_of(std::span(spans_).subspan(first)));
}

void Schedule::add_items(std::int64_t pair) {
  const auto b = static_cast<std::int32_t>(pair / shape_.kv_heads);
  const auto local = static_cast<std::size_t>(pair - wave_.begin);
  for (std::int32_t h = first_head(pair); h < first_head(pair) + heads(); ++h) {
    const std::int64_t slot = slot_of(plane_of(b, h));
    for (std::int64_t tile = 0; tile < shape_.q_tiles(); ++tile) {
      Item item{.index = (std::int64_t{b} * shape_.q_heads + h) * shape_.q_tiles() + tile, .pair = pair, .b = b, .h = h};
      item.tile = static_cast<std::size_t>(slot * shape_.q_tiles() + tile);
      item.cost = costs_[item.tile];
      const QueryRows rows = shape_.rows_of(tile);
      item.q_begin = rows.begin;
      item.q_count = rows.count;
      pair_cost_[local] = std::max(pair_cost_[local], item.cost);
      items_.push_back(item);
    }
  }
}

// The spans of all planes of the pair, in order and joined. Neighbouring pairs mostly share their planes.
void Schedule::find_visited(std::int64_t pair) {
  const auto b = static_cast<std::int32_t>(pair / shape_.kv_heads);
  const std::pair slots{slot_of(plane_of(b, first_head(pair))), slot_of(plane_of(b, first_head(pair) + heads() - 1)) + 1};
  if (slots == visited_slots_) return;
  visited_slots_ = slots;
  visited_.clear();
  const auto offset = [&](std::int64_t slot) { return offsets_[static_cast<std::size_t>(slot * shape_.q_tiles())]; };
  for (std::size_t i = offset(slots.first); i < offset(slots.second); ++i) {
    const plan::SpanArg& span = spans_[i];
    const Reach range{span.begin / shape_.panel * shape_.panel, span.end};
    // Tiles mostly visit what the tile before did, or what follows it.
    if (!visited_.empty() && range.begin >= visited_.back().begin && range.begin <= visited_.back().end) {
      visited_.back().end = std::max(visited_.back().end, range.end);
    } else {
      visited_.push_back(range);
    }
  }
  std::ranges::sort(visited_, {}, &Reach::begin);
  std::size_t last = 0;
  for (const Reach& range : visited_) {
    if (range.begin <= visited_[last].end) {
      visited_[last].end = std::max(visited_[last].end, range.end);
    } else {
      visited_[++last] = range;
    }
  }
  if (!visited_.empty()) visited_.resize(last + 1);
}

// Two ranges never share a panel: where one ends inside a panel, the next one, which begins at a panel, would have been joined.
void Schedule::add_packs(std::int64_t pair) {
  if (visited_.empty()) return;
  reaches_[static_cast<std::size_t>(pair - wave_.begin)] = {visited_.front().begin, visited_.back().end};
  const std::int32_t columns = (kPackColumns + shape_.panel - 1) / shape_.panel * shape_.panel;
  for (const Reach& range : visited_) {
    for (std::int32_t begin = range.begin; begin < range.end;) {
      const std::int32_t end = std::min(range.end, begin / columns * columns + columns);
      packs_.push_back({pair, {begin, end}});
      begin = end;
    }
  }
}

void Schedule::order_items() {
  auto rank = [&](const Item& item) {
    const auto size = [](std::int64_t cost) { return -std::bit_width(static_cast<std::uint64_t>(cost)); };
    return std::tuple(size(pair_cost_[static_cast<std::size_t>(item.pair - wave_.begin)]), item.pair, size(item.cost),
                      item.index);
  };
  std::ranges::sort(items_, {}, rank);
}

std::span<const plan::SpanArg> Schedule::spans(const Item& item) const {
  return std::span(spans_).subspan(offsets_[item.tile], offsets_[item.tile + 1] - offsets_[item.tile]);
}

std::size_t Schedule::bytes() const {
  return bytes_of(spans_) + bytes_of(offsets_) + bytes_of(costs_) + bytes_of(items_) + bytes_of(packs_) + bytes_of(visited_);
}

}  // namespace flexjit::runtime
