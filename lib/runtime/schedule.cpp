// Plans a wave: the spans of every (mask plane, query tile) that it needs, made once and shared by all heads of one plane,
// then one item a (b, h, tile).
#include "runtime/schedule.h"

#include <algorithm>
#include <bit>
#include <tuple>

namespace flexjit::runtime {

namespace {

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

std::int64_t columns_of(std::span<const plan::SpanArg> spans) {
  std::int64_t columns = 0;
  for (const plan::SpanArg& span : spans) columns += span.end - span.begin;
  return columns;
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
  reaches_.assign(static_cast<std::size_t>(wave.end - wave.begin), Reach{});
  pair_cost_.assign(reaches_.size(), 0);
  for (std::int64_t pair = wave.begin; pair < wave.end; ++pair) add_items(pair);
  order_items();
}

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
    const auto first_head = static_cast<std::int32_t>(pair % shape_.kv_heads) * shape_.group();
    for (std::int32_t h = first_head; h < first_head + shape_.group(); ++h) wanted_planes_.push_back(plane_of(b, h));
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
  const auto first_head = static_cast<std::int32_t>(pair % shape_.kv_heads) * shape_.group();
  const auto local = static_cast<std::size_t>(pair - wave_.begin);
  Reach& reach = reaches_[local];
  for (std::int32_t h = first_head; h < first_head + shape_.group(); ++h) {
    const auto slot = std::ranges::lower_bound(planes_, plane_of(b, h)) - planes_.begin();
    for (std::int64_t tile = 0; tile < shape_.q_tiles(); ++tile) {
      Item item{.index = (std::int64_t{b} * shape_.q_heads + h) * shape_.q_tiles() + tile, .pair = pair, .b = b, .h = h};
      item.tile = static_cast<std::size_t>(slot * shape_.q_tiles() + tile);
      item.cost = costs_[item.tile];
      const QueryRows rows = shape_.rows_of(tile);
      item.q_begin = rows.begin;
      item.q_count = rows.count;
      pair_cost_[local] = std::max(pair_cost_[local], item.cost);
      if (const auto visited = spans(item); !visited.empty()) {
        const bool first = reach.begin == reach.end;
        const std::int32_t panel_begin = visited.front().begin / shape_.panel * shape_.panel;
        reach.begin = first ? panel_begin : std::min(reach.begin, panel_begin);
        reach.end = std::max(reach.end, visited.back().end);
      }
      items_.push_back(item);
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

std::size_t Schedule::bytes() const { return bytes_of(spans_) + bytes_of(offsets_) + bytes_of(costs_) + bytes_of(items_); }

}  // namespace flexjit::runtime
