// Other systems' block lists -> BlockMask.
#include <fmt/format.h>

#include <algorithm>

#include "flexjit/block_mask.h"
#include "mask/blocks/block_mask_builder.h"
#include "mask/blocks/mask_errors.h"

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

// Reads one row of lists after the other into runs, in time that grows with what is listed and not with the columns.
class RowReader {
 public:
  explicit RowReader(const BlockMaskShape& shape) : columns_(shape.kv_blocks()) {}

  // What is wrong with the row, or an empty text.
  std::string read(const BlockLists& partial, const BlockLists& full, std::size_t row) {
    listed_.clear();
    std::string wrong = list(partial, row, BlockKind::kPartial);
    if (wrong.empty()) wrong = list(full, row, BlockKind::kFull);
    if (!wrong.empty()) return wrong;
    std::ranges::sort(listed_, {}, &BlockRun::kv_begin);
    const auto twice = std::ranges::adjacent_find(listed_, {}, &BlockRun::kv_begin);
    return twice == listed_.end() ? "" : fmt::format("row {} lists block {} twice", row, twice->kv_begin);
  }
  // Ascending, a block each.
  std::span<const BlockRun> blocks() const { return listed_; }

 private:
  std::string list(const BlockLists& lists, std::size_t row, BlockKind kind) {
    if (lists.num_blocks.empty()) return {};
    const std::int32_t count = lists.num_blocks[row];
    if (count < 0 || count > lists.width) return fmt::format("row {} counts {} blocks of {}", row, count, lists.width);
    const auto width = static_cast<std::size_t>(lists.width);
    for (std::int32_t block : lists.indices.subspan(row * width, static_cast<std::size_t>(count))) {
      if (block < 0 || block >= columns_) return fmt::format("row {} lists block {}; there are {}", row, block, columns_);
      listed_.push_back({block, block + 1, kind});
    }
    return {};
  }

  std::int32_t columns_;
  std::vector<BlockRun> listed_;
};

class BsrReader {
 public:
  BsrReader(const BlockMaskShape& shape, const BsrMatrix& matrix) : shape_(shape), matrix_(matrix) {}

  std::string wrong_sizes() const {
    const auto rows = static_cast<std::size_t>(shape_.q_blocks());
    if (shape_.batch != 1 || shape_.heads != 1) return "a BSR matrix is one plane; batch and heads must be 1";
    if (matrix_.indptr.size() != rows + 1 || matrix_.indptr[0] != 0) {
      return fmt::format("indptr must have {} entries, the first 0; it has {}", rows + 1, matrix_.indptr.size());
    }
    std::size_t elements = 0;
    const bool too_many = __builtin_mul_overflow(matrix_.indices.size(), area(), &elements);
    if (!matrix_.data.empty() && (too_many || matrix_.data.size() != elements)) {
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
    listed_.clear();
    std::int32_t last = -1;
    for (std::int32_t at = begin; at < end; ++at) {
      const std::int32_t kv = matrix_.indices[static_cast<std::size_t>(at)];
      if (kv <= last || kv >= shape_.kv_blocks()) {
        return fmt::format("row {} lists block {} after {}; indices must ascend below {}", q, kv, last, shape_.kv_blocks());
      }
      listed_.push_back({kv, kv + 1, kind_at(static_cast<std::size_t>(at), q, kv)});
      last = kv;
    }
    return {};
  }
  // Ascending, a block each.
  std::span<const BlockRun> blocks() const { return listed_; }

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
  std::vector<BlockRun> listed_;
};

void add_blocks(mask::BlockMaskBuilder& builder, std::int32_t q, std::span<const BlockRun> blocks) {
  for (const BlockRun& block : blocks) builder.add({q, q + 1, block.kv_begin, block.kv_end}, block.kind);
}

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
      add_blocks(builder, q, reader.blocks());
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
    add_blocks(builder, q, reader.blocks());
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
