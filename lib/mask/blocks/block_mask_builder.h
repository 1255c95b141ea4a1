// Rectangles of blocks of one kind -> the row lists of a BlockMask, plane after plane. A quadtree that visits lower keys first
// meets every row's blocks in ascending order, so rows need no sorting and no array of one entry a block is ever made.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "flexjit/block_mask.h"

namespace flexjit::mask {

// Half-open ranges of block indices.
struct BlockRect {
  std::int32_t q_begin = 0, q_end = 0;
  std::int32_t kv_begin = 0, kv_end = 0;

  std::int64_t size() const { return std::int64_t{q_end - q_begin} * (kv_end - kv_begin); }
};

// The `shape` must be valid: block sizes of at least 1, nothing negative.
class BlockMaskBuilder {
 public:
  explicit BlockMaskBuilder(const BlockMaskShape& shape);

  // Within a plane, the rectangles that touch one row arrive in ascending kv order; blocks that no rectangle covers are empty.
  void add(const BlockRect& rect, BlockKind kind);
  // Row q begins with the blocks of that row in plane (b, h) of another mask; more may follow. The mask outlives the plane, and
  // is the same one throughout it. A row to which nothing is added is copied as it is stored, without a look at its blocks.
  void add_known_row(std::int32_t q, const BlockMask& known, std::int32_t b, std::int32_t h);
  // A kind for each block of row q.
  void add_row(std::int32_t q, std::span<const BlockKind> kinds);
  // Blocks [kv_begin, kv_end) of row q become what the blocks `moved` before them are in row `source`, which is finished up to
  // there. How many of them are partial.
  struct Copied {
    std::int32_t source = 0, moved = 0;
    std::int32_t kv_begin = 0, kv_end = 0;
  };
  std::int64_t copy_row(std::int32_t q, const Copied& copied);
  // Runs of the current plane so far.
  std::size_t runs() const { return runs_.size(); }
  // Begins the current plane anew.
  void clear_plane();
  // Ends the current plane. Called batch * heads times, head fastest.
  void finish_plane();
  BlockMask build() &&;

 private:
  static constexpr std::int32_t kNone = -1, kKnown = -2;
  struct Run {
    std::int32_t begin, end;
    BlockKind kind;
    std::int32_t next;  // of the same row, in runs_; or kNone
  };
  struct Row {
    std::int32_t first = kNone, last = kNone;  // in runs_; last kKnown: those of known_
  };
  struct Known {
    const BlockMask* mask = nullptr;
    std::int32_t b = 0, h = 0;
  };
  // The blocks of a row that are of one kind.
  struct RowBlocks {
    std::int64_t begin = 0;  // in the list's indices
    std::int32_t count = 0;
    std::int32_t runs = 0;
  };
  BlockMask::Lists& lists_of(BlockKind kind) { return kind == BlockKind::kFull ? mask_.full_ : mask_.partial_; }
  std::int64_t& listed(BlockKind kind) { return listed_[kind == BlockKind::kFull ? 1 : 0]; }
  // A row of `count` blocks from `begin` of the list's indices.
  static void append(BlockMask::Lists& lists, std::int32_t count, std::int64_t begin);
  void append_row(const Row& row);
  void append_known_row(std::size_t row);
  // Makes a known row one of runs.
  void list_known_row(std::int32_t q);

  BlockMask mask_;
  Known known_;
  std::vector<Row> rows_;  // of the current plane
  // Of all its rows, linked: an allocation a row would cost more than the analysis. They are most of what is held while a mask
  // is made, hence a deque, which never holds both an old and a larger new array.
  std::deque<Run> runs_;
  // Partial and full blocks of this plane in rows that begin with a run of their kind and have another: about what the lists
  // will grow by, so that they grow once.
  std::array<std::int64_t, 2> listed_{};
};

}  // namespace flexjit::mask
