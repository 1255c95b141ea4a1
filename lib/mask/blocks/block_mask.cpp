// The BlockMask value: look-ups in its two compact row lists, and its dense and drawn forms.
#include "flexjit/block_mask.h"

#include <fmt/format.h>

#include <algorithm>

#include "mask/blocks/block_mask_builder.h"
#include "mask/blocks/mask_errors.h"

namespace flexjit {

namespace {

// Blocks of all planes, or -1 when their number does not fit: no such array can have been passed.
std::int64_t block_count(const BlockMaskShape& shape) {
  std::int64_t count = std::int64_t{shape.q_blocks()} * shape.kv_blocks();
  const std::int64_t planes = std::int64_t{shape.batch} * shape.heads;
  return __builtin_mul_overflow(count, planes, &count) ? -1 : count;
}

// Blocks of each kind in one cell of the drawn form.
struct Cell {
  std::int64_t partial = 0;
  std::int64_t full = 0;

  char symbol(std::int64_t blocks) const {
    if (partial == 0 && full == 0) return ' ';
    return full == blocks ? '#' : '+';
  }
};

std::int32_t cell_side(std::int32_t blocks, std::int32_t max_side) {
  return std::max(1, blocks / max_side + (blocks % max_side != 0 ? 1 : 0));
}

}  // namespace

Result<BlockMask> BlockMask::from_kinds(const BlockMaskShape& shape, std::span<const BlockKind> kinds) {
  Diagnostics found = mask::check_shape(shape);
  if (!found.empty()) return found;
  if (block_count(shape) != static_cast<std::int64_t>(kinds.size())) {
    return mask::shape_error(fmt::format(
        "expected {} x {} x {} x {} kinds (batch, heads, q blocks, kv blocks), got {}; q_len {} and kv_len {} are cut into "
        "blocks of {} x {}",
        shape.batch, shape.heads, shape.q_blocks(), shape.kv_blocks(), kinds.size(), shape.q_len, shape.kv_len, shape.q_block,
        shape.kv_block));
  }
  mask::BlockMaskBuilder builder(shape);
  const auto columns = static_cast<std::size_t>(shape.kv_blocks());
  for (std::int64_t plane = 0; plane < std::int64_t{shape.batch} * shape.heads; ++plane) {
    for (std::int32_t q = 0; q < shape.q_blocks(); ++q, kinds = kinds.subspan(columns))
      builder.add_row(q, kinds.first(columns));
    builder.finish_plane();
  }
  return std::move(builder).build();
}

std::span<const std::int32_t> BlockMask::Lists::row(std::size_t row) const {
  if (row >= counts.size()) return {};
  return {indices.data() + begins[row], static_cast<std::size_t>(counts[row])};
}

std::size_t BlockMask::Lists::bytes() const noexcept {
  return counts.size() * sizeof(counts[0]) + begins.size() * sizeof(begins[0]) + indices.size() * sizeof(indices[0]);
}

std::size_t BlockMask::row_of(std::int32_t b, std::int32_t h, std::int32_t q_block) const {
  if (shape_.batch == 1) b = 0;
  if (shape_.heads == 1) h = 0;
  const bool exists = b >= 0 && b < shape_.batch && h >= 0 && h < shape_.heads && q_block >= 0 && q_block < shape_.q_blocks();
  if (!exists) return full_.counts.size();
  return static_cast<std::size_t>((std::int64_t{b} * shape_.heads + h) * shape_.q_blocks() + q_block);
}

std::span<const std::int32_t> BlockMask::kv_indices(std::int32_t b, std::int32_t h, std::int32_t q_block) const& {
  return partial_.row(row_of(b, h, q_block));
}

std::span<const std::int32_t> BlockMask::full_kv_indices(std::int32_t b, std::int32_t h, std::int32_t q_block) const& {
  return full_.row(row_of(b, h, q_block));
}

namespace {

// Takes the leading run of an ascending list.
BlockRun take_run(std::span<const std::int32_t>& blocks, BlockKind kind) {
  std::size_t count = blocks.size();
  // Nearly all rows are one run, which its ends show.
  if (blocks.back() - blocks.front() + 1 != static_cast<std::int64_t>(count)) {
    count = 1;
    while (count < blocks.size() && blocks[count] == blocks[count - 1] + 1) ++count;
  }
  const BlockRun run{blocks.front(), blocks[count - 1] + 1, kind};
  blocks = blocks.subspan(count);
  return run;
}

}  // namespace

void BlockMask::row_runs(std::int32_t b, std::int32_t h, std::int32_t q_block, std::vector<BlockRun>& runs) const {
  runs.clear();
  const std::size_t row = row_of(b, h, q_block);
  std::span<const std::int32_t> partial = partial_.row(row), full = full_.row(row);
  while (!partial.empty() || !full.empty()) {
    const bool is_full = partial.empty() || (!full.empty() && full.front() < partial.front());
    runs.push_back(is_full ? take_run(full, BlockKind::kFull) : take_run(partial, BlockKind::kPartial));
  }
}

BlockKind BlockMask::kind(std::int32_t b, std::int32_t h, std::int32_t q_block, std::int32_t kv_block) const {
  const std::size_t row = row_of(b, h, q_block);
  if (std::ranges::binary_search(partial_.row(row), kv_block)) return BlockKind::kPartial;
  return std::ranges::binary_search(full_.row(row), kv_block) ? BlockKind::kFull : BlockKind::kEmpty;
}

BlockCounts BlockMask::counts() const noexcept {
  BlockCounts counts;
  counts.partial = partial_.total;
  counts.full = full_.total;
  const auto rows = static_cast<std::int64_t>(full_.counts.size());
  counts.empty = rows * shape_.kv_blocks() - counts.partial - counts.full;
  return counts;
}

std::size_t BlockMask::bytes() const noexcept { return partial_.bytes() + full_.bytes(); }

double BlockMask::sparsity() const noexcept {
  const BlockCounts found = counts();
  const std::int64_t total = found.empty + found.partial + found.full;
  return total == 0 ? 0.0 : 100.0 * static_cast<double>(found.empty) / static_cast<double>(total);
}

std::vector<BlockKind> BlockMask::to_dense() const {
  const auto width = static_cast<std::size_t>(shape_.kv_blocks());
  std::vector<BlockKind> kinds(full_.counts.size() * width, BlockKind::kEmpty);
  for (std::size_t row = 0; row < full_.counts.size(); ++row) {
    for (std::int32_t block : partial_.row(row)) kinds[row * width + static_cast<std::size_t>(block)] = BlockKind::kPartial;
    for (std::int32_t block : full_.row(row)) kinds[row * width + static_cast<std::size_t>(block)] = BlockKind::kFull;
  }
  return kinds;
}

std::string BlockMask::to_string(std::int32_t b, std::int32_t h, std::int32_t max_side) const {
  max_side = std::max(1, max_side);
  const std::int32_t q_blocks = shape_.q_blocks(), kv_blocks = shape_.kv_blocks();
  if (row_of(b, h, 0) >= full_.counts.size()) return {};
  const std::int32_t q_side = cell_side(q_blocks, max_side), kv_side = cell_side(kv_blocks, max_side);
  std::string picture;
  std::vector<Cell> cells(static_cast<std::size_t>(kv_blocks / kv_side + (kv_blocks % kv_side != 0 ? 1 : 0)));
  for (std::int64_t top = 0; top < q_blocks; top += q_side) {
    const auto bottom = static_cast<std::int32_t>(std::min<std::int64_t>(q_blocks, top + q_side));
    std::ranges::fill(cells, Cell{});
    for (auto q = static_cast<std::int32_t>(top); q < bottom; ++q) {
      for (std::int32_t block : kv_indices(b, h, q)) ++cells[static_cast<std::size_t>(block / kv_side)].partial;
      for (std::int32_t block : full_kv_indices(b, h, q)) ++cells[static_cast<std::size_t>(block / kv_side)].full;
    }
    for (std::size_t cell = 0; cell < cells.size(); ++cell) {
      const std::int64_t left = static_cast<std::int64_t>(cell) * kv_side;
      const std::int64_t width = std::min<std::int64_t>(kv_side, kv_blocks - left);
      picture += cells[cell].symbol((bottom - top) * width);
    }
    picture += '\n';
  }
  return picture;
}

}  // namespace flexjit
