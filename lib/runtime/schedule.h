// Lengths, heads and block mask -> waves of (batch, kv head) pairs and, within a wave, the order in which threads take its
// query tiles. Waves bound the memory of packed keys: nothing grows with batch x heads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "flexjit/block_mask.h"
#include "plan/kernel_abi.h"
#include "runtime/spans.h"

namespace flexjit::runtime {

// Query rows [begin, begin + count).
struct QueryRows {
  std::int32_t begin = 0;
  std::int32_t count = 0;
};

// What the order of work depends on; all counts at least 1 except kv_len. A query tile never crosses a row of mask blocks: a
// block that is empty for some of its rows and not for others could not be left out.
struct WorkShape {
  std::int32_t batch = 0;
  std::int32_t q_heads = 0;
  std::int32_t kv_heads = 0;
  std::int32_t q_len = 0;
  std::int32_t kv_len = 0;
  std::int32_t q_tile = 0;
  std::int32_t q_block = 0;  // query rows of a mask block; q_tile without a mask
  std::int32_t panel = 0;

  std::int64_t tiles_per_block() const { return (std::int64_t{q_block} + q_tile - 1) / q_tile; }
  std::int64_t q_tiles() const;
  QueryRows rows_of(std::int64_t tile) const;
  std::int32_t group() const { return q_heads / kv_heads; }  // query heads that share packed K and V
  std::int64_t pairs() const { return std::int64_t{batch} * kv_heads; }
};

// Pairs are numbered (batch, kv_heads), kv_heads fastest; [begin, end).
struct Wave {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

// One query tile of one head.
struct Item {
  std::int64_t index = 0;  // in (b, h, q) order over the whole launch
  std::int64_t cost = 0;
  std::int64_t pair = 0;
  std::size_t tile = 0;  // into the wave's span table
  std::int32_t b = 0;
  std::int32_t h = 0;
  std::int32_t q_begin = 0;
  std::int32_t q_count = 0;
};

// The key columns that any tile of a pair visits, from the beginning of a panel; begin == end: none.
struct Reach {
  std::int32_t begin = 0;
  std::int32_t end = 0;
};

// The plan of one wave after the other; reusable, so that a second launch allocates nothing.
class Schedule {
 public:
  // `mask` may be null; it must outlive the waves.
  void start(const WorkShape& shape, const BlockMask* mask);
  void plan(const Wave& wave);

  // In the order in which they are taken: by pair, so that its K and V stay in the cache; pairs and the tiles of a pair by
  // falling cost, so that what is taken last is small; of costs within a factor of two neighbours first, which share keys.
  std::span<const Item> items() const { return items_; }
  std::span<const plan::SpanArg> spans(const Item& item) const;
  Reach reach(std::int64_t pair) const { return reaches_[static_cast<std::size_t>(pair - wave_.begin)]; }
  std::size_t bytes() const;

 private:
  std::int64_t plane_of(std::int32_t b, std::int32_t h) const;
  void make_spans();
  void make_tile(std::int64_t plane, std::int64_t tile);
  void add_items(std::int64_t pair);
  void order_items();

  WorkShape shape_;
  const BlockMask* mask_ = nullptr;
  SpanMaker maker_;
  Wave wave_;
  std::vector<std::int64_t> planes_, wanted_planes_;  // ascending; those in the span table, those of the wave
  std::vector<plan::SpanArg> spans_;
  std::vector<std::size_t> offsets_;  // tile t of planes_[p] owns [offsets_[i], offsets_[i + 1]), i = p * q_tiles + t
  std::vector<std::int64_t> costs_;   // the same index
  std::vector<Item> items_;
  std::vector<Reach> reaches_;           // by pair - wave_.begin
  std::vector<std::int64_t> pair_cost_;  // of its costliest tile
};

// Score columns that `spans` visit.
std::int64_t columns_of(std::span<const plan::SpanArg> spans);

}  // namespace flexjit::runtime
