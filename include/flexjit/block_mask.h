// Which blocks of the (q_len, kv_len) score matrix hold any allowed pair, and which hold only allowed pairs.
// The fields and their meaning are those of PyTorch FlexAttention's BlockMask; there is never a q_len x kv_len array.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

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

  std::int32_t q_blocks() const noexcept { return q_len / q_block + (q_len % q_block != 0 ? 1 : 0); }
  std::int32_t kv_blocks() const noexcept { return kv_len / kv_block + (kv_len % kv_block != 0 ? 1 : 0); }
  bool operator==(const BlockMaskShape&) const = default;
};

enum class BlockKind : std::uint8_t { kEmpty, kPartial, kFull };

// Block counts over all (batch, head) planes of the mask.
struct BlockCounts {
  std::int64_t empty = 0;
  std::int64_t partial = 0;
  std::int64_t full = 0;
};

// An immutable, owning value; const members are safe to call from several threads. Where a member takes a plane (b, h): any b
// means plane 0 when shape().batch == 1, any h likewise when shape().heads == 1. A plane, row or block that does not exist
// has no blocks: an empty list, kEmpty, an empty picture; it is never an error.
class FLEXJIT_API BlockMask {
 public:
  // Builds from one BlockKind a block, ordered (batch, heads, q_blocks, kv_blocks). Errors `mask-shape`: `kinds` has another
  // size, a block size below 1, or a negative length or plane count.
  static Result<BlockMask> from_kinds(const BlockMaskShape& shape, std::span<const BlockKind> kinds);

  const BlockMaskShape& shape() const noexcept { return shape_; }

  // FlexAttention's lists. *_num_blocks: (batch, heads, q_blocks). *_indices: for each of those rows, the kv blocks in
  // ascending order, stored compactly; row r occupies [offset, offset + num). Partial blocks are in kv_*, full ones in
  // full_kv_*.
  std::span<const std::int32_t> kv_num_blocks() const noexcept { return partial_.counts; }
  std::span<const std::int32_t> kv_indices(std::int32_t b, std::int32_t h, std::int32_t q_block) const;
  std::span<const std::int32_t> full_kv_num_blocks() const noexcept { return full_.counts; }
  std::span<const std::int32_t> full_kv_indices(std::int32_t b, std::int32_t h, std::int32_t q_block) const;

  BlockKind kind(std::int32_t b, std::int32_t h, std::int32_t q_block, std::int32_t kv_block) const;
  BlockCounts counts() const noexcept;
  // Percent of the blocks that are empty, as FlexAttention's sparsity(); 0 when there is no block.
  double sparsity() const noexcept;
  // One BlockKind a block, (batch, heads, q_blocks, kv_blocks).
  std::vector<BlockKind> to_dense() const;
  // A text picture of plane (b, h): one character a block (' ' empty, '+' partial, '#' full), down-sampled to at most
  // `max_side` characters a side (at least 1), where a mixed cell is '+'. One line a row of cells, each ended by '\n'.
  std::string to_string(std::int32_t b = 0, std::int32_t h = 0, std::int32_t max_side = 64) const;

 private:
  friend class mask::BlockMaskBuilder;
  struct Lists {
    std::vector<std::int32_t> counts;   // (batch * heads * q_blocks)
    std::vector<std::int64_t> offsets;  // counts.size() + 1
    std::vector<std::int32_t> indices;
    std::span<const std::int32_t> row(std::size_t row) const;  // empty past the last row
  };
  BlockMask() = default;
  // Past the last row when there is no such row.
  std::size_t row_of(std::int32_t b, std::int32_t h, std::int32_t q_block) const;

  BlockMaskShape shape_;
  Lists partial_;
  Lists full_;
};

}  // namespace flexjit
