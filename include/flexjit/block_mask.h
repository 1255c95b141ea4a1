// Which blocks of the (q_len, kv_len) score matrix hold any allowed pair, and which hold only allowed pairs.
// The fields and their meaning are those of PyTorch FlexAttention's BlockMask; there is never a q_len x kv_len array.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "flexjit/borrowed.h"
#include "flexjit/export.h"
#include "flexjit/result.h"

namespace flexjit {

namespace mask {
class BlockMaskBuilder;  // lib/mask
}

// Lengths and granularity of a mask. `batch` and `heads` are 1 when the mask does not depend on them: it then serves any.
struct BlockMaskShape {
  std::int32_t batch = 1;
  std::int32_t heads = 1;
  std::int32_t q_len = 0;
  std::int32_t kv_len = 0;
  std::int32_t q_block = 128;
  std::int32_t kv_block = 128;

  std::int32_t q_blocks() const noexcept { return blocks(q_len, q_block); }
  std::int32_t kv_blocks() const noexcept { return blocks(kv_len, kv_block); }
  bool operator==(const BlockMaskShape&) const = default;

 private:
  // 0 for sizes that no mask has.
  static std::int32_t blocks(std::int32_t length, std::int32_t block) noexcept {
    return length < 1 || block < 1 ? 0 : (length - 1) / block + 1;
  }
};

enum class BlockKind : std::uint8_t { kEmpty, kPartial, kFull };

// Block counts over all (batch, head) planes of the mask.
struct BlockCounts {
  std::int64_t empty = 0;
  std::int64_t partial = 0;
  std::int64_t full = 0;
};

// A block of one plane.
struct BlockPosition {
  std::int32_t b = 0, h = 0;
  std::int32_t q_block = 0, kv_block = 0;
  bool operator==(const BlockPosition&) const = default;
};

// Neighbouring blocks [kv_begin, kv_end) of one block row, all partial or all full.
struct BlockRun {
  std::int32_t kv_begin = 0, kv_end = 0;
  BlockKind kind = BlockKind::kFull;
  bool operator==(const BlockRun&) const = default;
};

// Lists as FlexAttention and FlashAttention's block-sparse interface have them: num_blocks (batch, heads, q_blocks), and
// `width` indices for each of those rows, of which the first num_blocks count, in any order. Both empty: no such blocks.
struct BlockLists {
  Borrowed<std::int32_t> num_blocks;
  Borrowed<std::int32_t> indices;
  std::int32_t width = 0;
};

// A block compressed sparse row matrix of one plane, as SciPy defines it: row q_block has the blocks indices[indptr[q_block]]
// to indices[indptr[q_block + 1] - 1], ascending. `data`: (indices, q_block, kv_block), 0 forbids; empty allows all of them.
struct FLEXJIT_API BsrMatrix {
  Borrowed<std::int32_t> indptr;
  Borrowed<std::int32_t> indices;
  Borrowed<std::uint8_t> data;

  // (q_blocks, kv_blocks): the place of each block in `indices`, -1 for none. What the preset `bsr` reads beside `data` to
  // apply the elements of partial blocks. The matrix must be one that from_bsr accepts.
  std::vector<std::int32_t> slots(const BlockMaskShape& shape) const;
};

// Positions [begin, end).
struct PositionRange {
  std::int32_t begin = 0, end = 0;
};

// An immutable, owning value; const members are safe to call from several threads. Where a member takes a plane (b, h): any b
// means plane 0 when shape().batch == 1, any h likewise when shape().heads == 1. A plane, row or block that does not exist
// has no blocks: an empty list, kEmpty, an empty picture; it is never an error. A span or reference into a mask lives as long
// as the mask does, so a temporary gives none.
class FLEXJIT_API BlockMask {
 public:
  // Of lengths 0: run() refuses it for every other (`mask-lengths`). A mask that was moved from is this one again.
  BlockMask() = default;
  BlockMask(const BlockMask&) = default;
  BlockMask& operator=(const BlockMask&) = default;
  BlockMask(BlockMask&& other) noexcept { *this = std::move(other); }
  BlockMask& operator=(BlockMask&& other) noexcept {
    shape_ = std::exchange(other.shape_, {});
    partial_ = std::exchange(other.partial_, {});
    full_ = std::exchange(other.full_, {});
    return *this;
  }

  // Builds from one BlockKind a block, ordered (batch, heads, q_blocks, kv_blocks). Errors `mask-shape`: `kinds` has another
  // size, a block size below 1, or a negative length or plane count.
  static Result<BlockMask> from_kinds(const BlockMaskShape& shape, std::span<const BlockKind> kinds);

  // Errors `mask-shape`: sizes that do not fit the shape, an index that is no block, one that is listed twice.
  static Result<BlockMask> from_lists(const BlockMaskShape& shape, const BlockLists& partial, const BlockLists& full);

  // `shape` has batch and heads 1. Errors `mask-shape` likewise.
  static Result<BlockMask> from_bsr(const BlockMaskShape& shape, const BsrMatrix& matrix);

  const BlockMaskShape& shape() const& noexcept { return shape_; }
  BlockMaskShape shape() const&& noexcept { return shape_; }

  // FlexAttention's lists. *_num_blocks: (batch, heads, q_blocks). *_indices: for each of those rows, the kv blocks in
  // ascending order. Partial blocks are in kv_*, full ones in full_kv_*. Rows whose blocks are neighbours share one stored list
  // 0, 1, 2, ..., so that a causal mask of a million tokens takes kilobytes.
  std::span<const std::int32_t> kv_num_blocks() const& noexcept { return partial_.counts; }
  std::span<const std::int32_t> kv_indices(std::int32_t b, std::int32_t h, std::int32_t q_block) const&;
  std::span<const std::int32_t> full_kv_num_blocks() const& noexcept { return full_.counts; }
  std::span<const std::int32_t> full_kv_indices(std::int32_t b, std::int32_t h, std::int32_t q_block) const&;
  void kv_num_blocks() const&& = delete;
  void kv_indices(std::int32_t b, std::int32_t h, std::int32_t q_block) const&& = delete;
  void full_kv_num_blocks() const&& = delete;
  void full_kv_indices(std::int32_t b, std::int32_t h, std::int32_t q_block) const&& = delete;

  // Both lists of a row at once, as runs in ascending order; replaces what `runs` held.
  void row_runs(std::int32_t b, std::int32_t h, std::int32_t q_block, std::vector<BlockRun>& runs) const;

  BlockKind kind(std::int32_t b, std::int32_t h, std::int32_t q_block, std::int32_t kv_block) const;
  BlockCounts counts() const noexcept;
  // Of the lists as stored.
  std::size_t bytes() const noexcept;
  // Percent of the blocks that are empty, as FlexAttention's sparsity(); 0 when there is no block.
  double sparsity() const noexcept;

  // The mask of the query positions and keys of two ranges, cut at the lengths; blocks of the same sizes, counted from their
  // begins. A block that does not coincide with one of this mask may be partial although its pairs are all allowed or all
  // forbidden: sound for run(), and made exact by Attention::decide_block_mask. The positions of the pattern that runs with the
  // result count from 0 as well: see offset_queries in presets.h for decoding. Error `mask-shape`: a range that is not inside
  // the lengths.
  Result<BlockMask> slice(PositionRange q, PositionRange kv) const;
  // Keys as queries and queries as keys, as the backward pass of k and v needs them.
  BlockMask transpose() const;
  // and, or, not, block by block: what both decide is decided, the rest is partial (see slice). Planes are broadcast. Error
  // `mask-shape`: other lengths, block sizes or planes.
  Result<BlockMask> intersect(const BlockMask& other) const;
  Result<BlockMask> unite(const BlockMask& other) const;
  BlockMask complement() const;

  // A self-contained form for files, with version and checksum; the same bytes on every machine.
  std::vector<std::uint8_t> to_bytes() const;
  // Error `mask-bytes`: not such bytes, another version, damaged.
  static Result<BlockMask> from_bytes(std::span<const std::uint8_t> bytes);

  // One BlockKind a block, (batch, heads, q_blocks, kv_blocks).
  std::vector<BlockKind> to_dense() const;
  // A text picture of plane (b, h): one character a block (' ' empty, '+' partial, '#' full), down-sampled to at most
  // `max_side` characters a side (at least 1), where a mixed cell is '+'. One line a row of cells, each ended by '\n'.
  std::string to_string(std::int32_t b = 0, std::int32_t h = 0, std::int32_t max_side = 64) const;

 private:
  friend class mask::BlockMaskBuilder;
  struct Lists {
    std::vector<std::int32_t> counts;   // (batch * heads * q_blocks)
    std::vector<std::int64_t> begins;   // of each row, in indices
    std::vector<std::int32_t> indices;  // 0, 1, ..., kv_blocks - 1 for rows of neighbours; then rows of others
    std::int64_t total = 0;             // of counts
    std::span<const std::int32_t> row(std::size_t row) const;  // empty past the last row
    std::size_t bytes() const noexcept;
  };
  // Past the last row when there is no such row.
  std::size_t row_of(std::int32_t b, std::int32_t h, std::int32_t q_block) const;

  BlockMaskShape shape_;
  Lists partial_;
  Lists full_;
};

}  // namespace flexjit
