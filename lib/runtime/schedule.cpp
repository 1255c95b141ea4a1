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

WorkSizes sizes_of(const plan::Operands& of, const plan::KernelLayout& layout) {
  return {.q_heads = of.num_heads, .kv_heads = of.num_kv_heads, .q_tile = layout.q_tile, .panel = layout.lanes};
}

WorkShape WorkSizes::shape_of(const SequenceWork& work, std::int32_t batch) const {
  return {.batch = batch,
          .q_heads = q_heads,
          .kv_heads = kv_heads,
          .q_len = work.sequence->q_len,
          .kv_len = work.sequence->kv_len,
          .q_tile = q_tile,
          .q_block = work.mask != nullptr ? work.mask->shape().q_block : q_tile,
          .panel = panel};
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

void Schedule::start(const WorkSizes& sizes, std::span<const SequenceWork> work, std::int32_t page_size) {
  sizes_ = sizes;
  work_ = work;
  page_size_ = page_size;
  planes_.clear();
  first_tile_.assign(1, 0);
  spans_.clear();
  like_.clear();
  first_item_.assign(1, 0);
  for (std::size_t i = 0; i < work.size(); ++i) {
    like_.push_back(i > 0 && work[i].same_plan(work[i - 1]) ? like_[i - 1] : i);
    first_item_.push_back(first_item_[i] + sizes.q_heads * sizes.shape_of(work[i]).q_tiles());
  }
}

void Schedule::plan(const Wave& wave) {
  wave_ = wave;
  make_spans();
  items_.clear();
  packs_.clear();
  reaches_.assign(static_cast<std::size_t>(wave.end - wave.begin), Reach{});
  pair_cost_.assign(reaches_.size(), 0);
  visited_slots_ = {1, 0};
  for (std::int64_t pair = wave.begin; pair < wave.end; ++pair) {
    add_items(pair);
    find_visited(pair);
    add_packs(pair);
  }
  order_items();
}

std::int32_t Schedule::first_head(std::int64_t pair) const {
  return static_cast<std::int32_t>(pair % sizes_.kv_heads) * sizes_.group() + wave_.head_begin;
}

std::int32_t Schedule::heads() const { return wave_.head_end == 0 ? sizes_.group() : wave_.head_end - wave_.head_begin; }

std::size_t Schedule::slot_of(std::int64_t plane) const {
  return static_cast<std::size_t>(std::ranges::lower_bound(planes_, plane) - planes_.begin());
}

std::int64_t Schedule::plane_of(std::int64_t pair, std::int32_t h) const {
  const std::size_t like = like_[static_cast<std::size_t>(pair / sizes_.kv_heads)];
  const BlockMask* mask = work_[like].mask;
  const bool by_head = mask != nullptr && mask->shape().heads > 1;
  return static_cast<std::int64_t>(like) * sizes_.q_heads + (by_head ? h : 0);
}

// The table of the wave before is kept when it holds the same planes, as it always does for a mask of one plane.
void Schedule::make_spans() {
  wanted_planes_.clear();
  for (std::int64_t pair = wave_.begin; pair < wave_.end; ++pair) {
    const std::int32_t h = first_head(pair);
    for (std::int32_t i = 0; i < heads(); ++i) wanted_planes_.push_back(plane_of(pair, h + i));
  }
  std::ranges::sort(wanted_planes_);
  wanted_planes_.erase(std::unique(wanted_planes_.begin(), wanted_planes_.end()), wanted_planes_.end());
  if (wanted_planes_ == planes_) return;
  planes_ = wanted_planes_;
  spans_.clear();
  offsets_.assign(1, 0);
  costs_.clear();
  first_tile_.assign(1, 0);
  for (std::int64_t plane : planes_) {
    make_plane(plane);
    first_tile_.push_back(costs_.size());
  }
}

void Schedule::make_plane(std::int64_t plane) {
  const SequenceWork& work = work_[static_cast<std::size_t>(plane / sizes_.q_heads)];
  const WorkShape shape = sizes_.shape_of(work);
  find_holes(*work.sequence, page_size_, holes_);
  maker_.start(work.mask, shape.kv_len, shape.panel, holes_);
  TileRows rows{.b = work.plane, .h = static_cast<std::int32_t>(plane % sizes_.q_heads)};
  for (std::int64_t tile = 0; tile < shape.q_tiles(); ++tile) {
    const QueryRows queries = shape.rows_of(tile);
    rows.q_begin = queries.begin;
    rows.q_count = queries.count;
    maker_.append(rows, spans_);
    const std::size_t first = offsets_.back();
    offsets_.push_back(spans_.size());
    costs_.push_back(rows.q_count * cost_of(std::span(spans_).subspan(first)));
  }
}

void Schedule::add_items(std::int64_t pair) {
  const auto sequence = static_cast<std::size_t>(pair / sizes_.kv_heads);
  const auto local = static_cast<std::size_t>(pair - wave_.begin);
  const WorkShape shape = shape_of(pair);
  for (std::int32_t h = first_head(pair); h < first_head(pair) + heads(); ++h) {
    const std::size_t first = first_tile_[slot_of(plane_of(pair, h))];
    for (std::int64_t tile = 0; tile < shape.q_tiles(); ++tile) {
      Item item{.index = first_item_[sequence] + h * shape.q_tiles() + tile, .pair = pair, .h = h};
      item.tile = first + static_cast<std::size_t>(tile);
      item.cost = costs_[item.tile];
      const QueryRows rows = shape.rows_of(tile);
      item.q_begin = rows.begin;
      item.q_count = rows.count;
      pair_cost_[local] = std::max(pair_cost_[local], item.cost);
      items_.push_back(item);
    }
  }
}

// The spans of all planes of the pair, in order and joined. Neighbouring pairs mostly share their planes.
void Schedule::find_visited(std::int64_t pair) {
  const std::pair slots{slot_of(plane_of(pair, first_head(pair))), slot_of(plane_of(pair, first_head(pair) + heads() - 1)) + 1};
  if (slots == visited_slots_) return;
  visited_slots_ = slots;
  visited_.clear();
  const auto offset = [&](std::size_t slot) { return offsets_[first_tile_[slot]]; };
  for (std::size_t i = offset(slots.first); i < offset(slots.second); ++i) {
    const plan::SpanArg& span = spans_[i];
    const Reach range{span.begin / sizes_.panel * sizes_.panel, span.end};
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
  const std::int32_t columns = (kPackColumns + sizes_.panel - 1) / sizes_.panel * sizes_.panel;
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
