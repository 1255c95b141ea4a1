// Lengths, heads and block mask -> waves of (batch, kv head) pairs and, within a wave, what is packed and the order in which
// threads take its query tiles. Waves bound the memory of packed keys and of the plan: nothing grows with batch x heads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "flexjit/block_mask.h"
#include "plan/kernel_key.h"
#include "plan/operands.h"
#include "runtime/sequences.h"
#include "runtime/spans.h"

namespace flexjit::runtime {

// Query rows [begin, begin + count).
struct QueryRows {
  std::int32_t begin = 0;
  std::int32_t count = 0;
};

// Sequences of one length; all counts at least 1 except kv_len. A query tile never crosses a row of mask blocks: a
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

// What the sequences of a launch share.
struct WorkSizes {
  std::int32_t q_heads = 0;
  std::int32_t kv_heads = 0;
  std::int32_t q_tile = 0;
  std::int32_t panel = 0;

  std::int32_t group() const { return q_heads / kv_heads; }
  // Of `batch` sequences like this one.
  WorkShape shape_of(const SequenceWork& work, std::int32_t batch = 1) const;
};
WorkSizes sizes_of(const plan::Operands& of, const plan::KernelLayout& layout);

// Pairs are numbered (sequence, kv_heads), kv_heads fastest; [begin, end). A pair with very many query heads is several waves,
// each of some heads of its group; head_end == 0: all of them.
struct Wave {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int32_t head_begin = 0;
  std::int32_t head_end = 0;
};

// One query tile of one head.
struct Item {
  std::int64_t index = 0;  // in (sequence, h, q) order over the whole launch
  std::int64_t cost = 0;
  std::int64_t pair = 0;
  std::size_t tile = 0;  // into the wave's span table
  std::int32_t h = 0;
  std::int32_t q_begin = 0;
  std::int32_t q_count = 0;
};

// Key columns [begin, end), from the beginning of a panel; begin == end: none.
struct Reach {
  std::int32_t begin = 0;
  std::int32_t end = 0;
};

// Columns of a pair that one item of packing takes.
struct PackItem {
  std::int64_t pair = 0;
  Reach columns;
};

// The plan of one wave after the other; reusable, so that a second launch allocates nothing.
class Schedule {
 public:
  // `work` must outlive the waves. Sequences without queries have no items.
  void start(const WorkSizes& sizes, std::span<const SequenceWork> work, std::int32_t page_size);
  std::int64_t pairs() const { return static_cast<std::int64_t>(work_.size()) * sizes_.kv_heads; }
  const SequenceWork& work_of(std::int64_t pair) const { return work_[static_cast<std::size_t>(pair / sizes_.kv_heads)]; }
  WorkShape shape_of(std::int64_t pair) const { return sizes_.shape_of(work_of(pair)); }
  void plan(const Wave& wave);

  // In the order in which they are taken: by pair, so that its K and V stay in the cache; pairs and the tiles of a pair by
  // falling cost, so that what is taken last is small; of costs within a factor of two neighbours first, which share keys.
  std::span<const Item> items() const { return items_; }
  std::span<const plan::SpanArg> spans(const Item& item) const;
  // From the first to the last column that any tile of the pair visits.
  Reach reach(std::int64_t pair) const { return reaches_[static_cast<std::size_t>(pair - wave_.begin)]; }
  // All panels that any tile visits, and no others.
  std::span<const PackItem> packs() const { return packs_; }
  std::size_t bytes() const;

 private:
  std::int64_t plane_of(std::int64_t pair, std::int32_t h) const;
  std::int32_t first_head(std::int64_t pair) const;
  std::int32_t heads() const;  // of each pair, in this wave
  std::size_t slot_of(std::int64_t plane) const;
  void make_spans();
  void make_plane(std::int64_t plane);
  void add_items(std::int64_t pair);
  void find_visited(std::int64_t pair);
  void add_packs(std::int64_t pair);
  void order_items();

  WorkSizes sizes_;
  std::span<const SequenceWork> work_;
  std::int32_t page_size_ = 0;
  std::vector<std::int64_t> first_item_;  // by sequence, and the end
  std::vector<std::size_t> like_;         // by sequence: the first one before it, or itself, that visits the same keys
  SpanMaker maker_;
  std::vector<KeyRange> holes_;
  Wave wave_;
  // A plane is a sequence, as like_ has it, and a head where heads visit different keys: sequence * q_heads + head. Ascending;
  // those in the span table, those of the wave.
  std::vector<std::int64_t> planes_, wanted_planes_;
  std::vector<plan::SpanArg> spans_;
  std::vector<std::size_t> first_tile_;  // by plane of planes_, and the end
  std::vector<std::size_t> offsets_;     // tile t of planes_[p] owns [offsets_[i], offsets_[i + 1]), i = first_tile_[p] + t
  std::vector<std::int64_t> costs_;      // the same index
  std::vector<Item> items_;
  std::vector<Reach> visited_;  // of the planes in visited_slots_: whole panels, ascending and disjoint
  std::pair<std::size_t, std::size_t> visited_slots_;
  std::vector<PackItem> packs_;
  std::vector<Reach> reaches_;           // by pair - wave_.begin
  std::vector<std::int64_t> pair_cost_;  // of its costliest tile
};

}  // namespace flexjit::runtime
