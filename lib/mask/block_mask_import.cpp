// Other systems' block lists -> BlockMask.
#include <fmt/format.h>

#include <algorithm>

#include "flexjit/block_mask.h"
#include "mask/block_mask_builder.h"
#include "mask/mask_errors.h"

namespace flexjit {

namespace {

// Sizes that cannot be right, as text; empty if they can.
std::string wrong_sizes(const char* name, const BlockLists& lists, std::size_t rows) {
  if (lists.num_blocks.empty() && lists.indices.empty()) return {};
  if (lists.num_blocks.size() != rows) {
    return fmt::format("the {} lists have {} rows; the shape has {} (batch x heads x q blocks)", name, lists.num_blocks.size(),
                       rows);
  }
  if (lists.width < 0 || lists.indices.size() != rows * static_cast<std::size_t>(lists.width)) {
    return fmt::format("the {} lists have {} indices, not {} rows of {}", name, lists.indices.size(), rows, lists.width);
  }
  return {};
}

// Reads one row of lists after the other into kinds.
class RowReader {
 public:
  explicit RowReader(const BlockMaskShape& shape) : kinds_(static_cast<std::size_t>(shape.kv_blocks())) {}

  // What is wrong with the row, or an empty text.
  std::string read(const BlockLists& partial, const BlockLists& full, std::size_t row) {
    std::ranges::fill(kinds_, BlockKind::kEmpty);
    std::string wrong = mark(partial, row, BlockKind::kPartial);
    return wrong.empty() ? mark(full, row, BlockKind::kFull) : wrong;
  }
  std::span<const BlockKind> kinds() const { return kinds_; }

 private:
  std::string mark(const BlockLists& lists, std::size_t row, BlockKind kind) {
    if (lists.num_blocks.empty()) return {};
    const std::int32_t count = lists.num_blocks[row];
    if (count < 0 || count > lists.width) return fmt::format("row {} counts {} blocks of {}", row, count, lists.width);
    const auto width = static_cast<std::size_t>(lists.width);
    for (std::int32_t block : lists.indices.subspan(row * width, static_cast<std::size_t>(count))) {
      if (block < 0 || block >= static_cast<std::int32_t>(kinds_.size())) {
        return fmt::format("row {} lists block {}; there are {}", row, block, kinds_.size());
      }
      BlockKind& at = kinds_[static_cast<std::size_t>(block)];
      if (at != BlockKind::kEmpty) return fmt::format("row {} lists block {} twice", row, block);
      at = kind;
    }
    return {};
  }

  std::vector<BlockKind> kinds_;
};

class BsrReader {
 public:
  BsrReader(const BlockMaskShape& shape, const BsrMatrix& matrix)
      : shape_(shape), matrix_(matrix), kinds_(static_cast<std::size_t>(shape.kv_blocks())) {}

  std::string wrong_sizes() const {
    const auto rows = static_cast<std::size_t>(shape_.q_blocks());
    if (shape_.batch != 1 || shape_.heads != 1) return "a BSR matrix is one plane; batch and heads must be 1";
    if (matrix_.indptr.size() != rows + 1 || matrix_.indptr[0] != 0) {
      return fmt::format("indptr must have {} entries, the first 0; it has {}", rows + 1, matrix_.indptr.size());
    }
    if (!matrix_.data.empty() && matrix_.data.size() != matrix_.indices.size() * area()) {
      return fmt::format("data must have {} blocks of {} elements; it has {} elements", matrix_.indices.size(), area(),
                         matrix_.data.size());
    }
    return {};
  }

  // What is wrong with the row, or an empty text.
  std::string read(std::int32_t q) {
    const auto row = static_cast<std::size_t>(q);
    const std::int32_t begin = matrix_.indptr[row], end = matrix_.indptr[row + 1];
    if (begin < 0 || begin > end || static_cast<std::size_t>(end) > matrix_.indices.size()) {
      return fmt::format("indptr of row {} is [{}, {}), outside the {} indices", q, begin, end, matrix_.indices.size());
    }
    std::ranges::fill(kinds_, BlockKind::kEmpty);
    std::int32_t last = -1;
    for (std::int32_t at = begin; at < end; ++at) {
      const std::int32_t kv = matrix_.indices[static_cast<std::size_t>(at)];
      if (kv <= last || kv >= shape_.kv_blocks()) {
        return fmt::format("row {} lists block {} after {}; indices must ascend below {}", q, kv, last, shape_.kv_blocks());
      }
      kinds_[static_cast<std::size_t>(kv)] = kind_at(static_cast<std::size_t>(at), q, kv);
      last = kv;
    }
    return {};
  }
  std::span<const BlockKind> kinds() const { return kinds_; }

 private:
  std::size_t area() const { return static_cast<std::size_t>(shape_.q_block) * static_cast<std::size_t>(shape_.kv_block); }

  // Over the positions that exist.
  BlockKind kind_at(std::size_t at, std::int32_t q_block, std::int32_t kv_block) const {
    if (matrix_.data.empty()) return BlockKind::kFull;
    const std::int32_t rows = std::min(shape_.q_block, shape_.q_len - q_block * shape_.q_block);
    const std::int32_t columns = std::min(shape_.kv_block, shape_.kv_len - kv_block * shape_.kv_block);
    bool any = false, all = true;
    for (std::int32_t r = 0; r < rows; ++r) {
      const auto row =
          matrix_.data.subspan(at * area() + static_cast<std::size_t>(r) * static_cast<std::size_t>(shape_.kv_block),
                               static_cast<std::size_t>(columns));
      any = any || std::ranges::any_of(row, [](std::uint8_t allowed) { return allowed != 0; });
      all = all && std::ranges::all_of(row, [](std::uint8_t allowed) { return allowed != 0; });
    }
    return all ? BlockKind::kFull : (any ? BlockKind::kPartial : BlockKind::kEmpty);
  }

  const BlockMaskShape& shape_;
  const BsrMatrix& matrix_;
  std::vector<BlockKind> kinds_;
};

}  // namespace

Result<BlockMask> BlockMask::from_lists(const BlockMaskShape& shape, const BlockLists& partial, const BlockLists& full) {
  Diagnostics found = mask::check_shape(shape);
  if (!found.empty()) return found;
  const std::int64_t planes = std::int64_t{shape.batch} * shape.heads;
  const auto rows = static_cast<std::size_t>(planes * shape.q_blocks());
  for (std::string wrong : {wrong_sizes("partial", partial, rows), wrong_sizes("full", full, rows)}) {
    if (!wrong.empty()) return mask::shape_error(std::move(wrong));
  }
  mask::BlockMaskBuilder builder(shape);
  RowReader reader(shape);
  std::size_t row = 0;
  for (std::int64_t plane = 0; plane < planes; ++plane) {
    for (std::int32_t q = 0; q < shape.q_blocks(); ++q) {
      if (std::string wrong = reader.read(partial, full, row++); !wrong.empty()) return mask::shape_error(std::move(wrong));
      builder.add_row(q, reader.kinds());
    }
    builder.finish_plane();
  }
  return std::move(builder).build();
}

Result<BlockMask> BlockMask::from_bsr(const BlockMaskShape& shape, const BsrMatrix& matrix) {
  Diagnostics found = mask::check_shape(shape);
  if (!found.empty()) return found;
  BsrReader reader(shape, matrix);
  if (std::string wrong = reader.wrong_sizes(); !wrong.empty()) return mask::shape_error(std::move(wrong));
  mask::BlockMaskBuilder builder(shape);
  for (std::int32_t q = 0; q < shape.q_blocks(); ++q) {
    if (std::string wrong = reader.read(q); !wrong.empty()) return mask::shape_error(std::move(wrong));
    builder.add_row(q, reader.kinds());
  }
  builder.finish_plane();
  return std::move(builder).build();
}

std::vector<std::int32_t> BsrMatrix::slots(const BlockMaskShape& shape) const {
  const auto columns = static_cast<std::size_t>(shape.kv_blocks());
  std::vector<std::int32_t> slots(static_cast<std::size_t>(shape.q_blocks()) * columns, -1);
  for (std::size_t row = 0; row + 1 < indptr.size(); ++row) {
    for (std::int32_t at = indptr[row]; at < indptr[row + 1]; ++at) {
      slots[row * columns + static_cast<std::size_t>(indices[static_cast<std::size_t>(at)])] = at;
    }
  }
  return slots;
}

}  // namespace flexjit
