// Block masks -> block masks, from their lists alone: cut, turned, combined. Where the blocks do not decide a result it is
// partial.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "flexjit/block_mask.h"
#include "mask/block_mask_builder.h"
#include "mask/mask_errors.h"

namespace flexjit {

namespace {

constexpr auto kEmpty = BlockKind::kEmpty, kPartial = BlockKind::kPartial, kFull = BlockKind::kFull;

// One block row, a kind for each of its blocks.
class DenseRow {
 public:
  explicit DenseRow(const BlockMask& mask) : mask_(mask), kinds_(static_cast<std::size_t>(mask.shape().kv_blocks())) {}

  std::span<const BlockKind> at(std::int32_t b, std::int32_t h, std::int32_t q_block) {
    mask_.row_runs(b, h, q_block, runs_);
    std::ranges::fill(kinds_, kEmpty);
    for (const BlockRun& run : runs_) std::fill(kinds_.begin() + run.kv_begin, kinds_.begin() + run.kv_end, run.kind);
    return kinds_;
  }

 private:
  const BlockMask& mask_;
  std::vector<BlockRun> runs_;
  std::vector<BlockKind> kinds_;
};

BlockKind kind_of_and(BlockKind a, BlockKind b) {
  if (a == kEmpty || b == kEmpty) return kEmpty;
  return a == kFull && b == kFull ? kFull : kPartial;
}

BlockKind kind_of_or(BlockKind a, BlockKind b) {
  if (a == kFull || b == kFull) return kFull;
  return a == kEmpty && b == kEmpty ? kEmpty : kPartial;
}

BlockKind kind_of_not(BlockKind a) { return a == kPartial ? kPartial : (a == kFull ? kEmpty : kFull); }

// Of a block that several others cover.
BlockKind kind_of_parts(BlockKind a, BlockKind b) { return a == b ? a : kPartial; }

template <typename RowOf>
BlockMask build(const BlockMaskShape& shape, RowOf row_of) {
  mask::BlockMaskBuilder builder(shape);
  for (std::int32_t b = 0; b < shape.batch; ++b) {
    for (std::int32_t h = 0; h < shape.heads; ++h) {
      for (std::int32_t q = 0; q < shape.q_blocks(); ++q) builder.add_row(q, row_of(b, h, q));
      builder.finish_plane();
    }
  }
  return std::move(builder).build();
}

// The planes of two masks together; none if they differ and neither serves all.
std::optional<std::int32_t> common_planes(std::int32_t a, std::int32_t b) {
  if (a != b && a != 1 && b != 1) return std::nullopt;
  return a == 1 ? b : a;
}

Result<BlockMask> combine(const BlockMask& a, const BlockMask& b, BlockKind (*kind_of)(BlockKind, BlockKind)) {
  BlockMaskShape shape = a.shape();
  const BlockMaskShape& other = b.shape();
  const auto batch = common_planes(shape.batch, other.batch), heads = common_planes(shape.heads, other.heads);
  const bool same_grid = shape.q_len == other.q_len && shape.kv_len == other.kv_len && shape.q_block == other.q_block &&
                         shape.kv_block == other.kv_block;
  if (!same_grid || !batch || !heads) {
    const auto text = [](const BlockMaskShape& s) {
      return fmt::format("{} x {} planes of {} x {} in blocks of {} x {}", s.batch, s.heads, s.q_len, s.kv_len, s.q_block,
                         s.kv_block);
    };
    return mask::shape_error(fmt::format(
        "masks that are combined must have the same lengths, block sizes and planes (or 1): {}; {}", text(shape), text(other)));
  }
  shape.batch = *batch;
  shape.heads = *heads;
  DenseRow row_of_a(a), row_of_b(b);
  std::vector<BlockKind> kinds(static_cast<std::size_t>(shape.kv_blocks()));
  return build(shape, [&](std::int32_t plane_b, std::int32_t plane_h, std::int32_t q) -> std::span<const BlockKind> {
    std::ranges::transform(row_of_a.at(plane_b, plane_h, q), row_of_b.at(plane_b, plane_h, q), kinds.begin(), kind_of);
    return kinds;
  });
}

}  // namespace

Result<BlockMask> BlockMask::intersect(const BlockMask& other) const { return combine(*this, other, kind_of_and); }
Result<BlockMask> BlockMask::unite(const BlockMask& other) const { return combine(*this, other, kind_of_or); }

BlockMask BlockMask::complement() const {
  DenseRow row(*this);
  std::vector<BlockKind> kinds(static_cast<std::size_t>(shape_.kv_blocks()));
  return build(shape_, [&](std::int32_t b, std::int32_t h, std::int32_t q) -> std::span<const BlockKind> {
    std::ranges::transform(row.at(b, h, q), kinds.begin(), kind_of_not);
    return kinds;
  });
}

BlockMask BlockMask::transpose() const {
  BlockMaskShape turned = shape_;
  std::swap(turned.q_len, turned.kv_len);
  std::swap(turned.q_block, turned.kv_block);
  mask::BlockMaskBuilder builder(turned);
  std::vector<BlockRun> runs;
  for (std::int32_t b = 0; b < shape_.batch; ++b) {
    for (std::int32_t h = 0; h < shape_.heads; ++h) {
      for (std::int32_t q = 0; q < shape_.q_blocks(); ++q) {
        row_runs(b, h, q, runs);
        for (const BlockRun& run : runs) builder.add({run.kv_begin, run.kv_end, q, q + 1}, run.kind);
      }
      builder.finish_plane();
    }
  }
  return std::move(builder).build();
}

Result<BlockMask> BlockMask::slice(PositionRange q, PositionRange kv) const {
  const auto inside = [](PositionRange range, std::int32_t length) {
    return range.begin >= 0 && range.begin <= range.end && range.end <= length;
  };
  if (!inside(q, shape_.q_len) || !inside(kv, shape_.kv_len)) {
    return mask::shape_error(
        fmt::format("a slice of queries [{}, {}) and keys [{}, {}) is not inside the mask's q_len {} and kv_len {}", q.begin,
                    q.end, kv.begin, kv.end, shape_.q_len, shape_.kv_len));
  }
  BlockMaskShape cut = shape_;
  cut.q_len = q.end - q.begin;
  cut.kv_len = kv.end - kv.begin;
  DenseRow row(*this);
  const auto columns = static_cast<std::size_t>(cut.kv_blocks());
  std::vector<BlockKind> kinds(columns);
  return build(cut, [&](std::int32_t b, std::int32_t h, std::int32_t block) -> std::span<const BlockKind> {
    const std::int32_t first = q.begin + block * cut.q_block, last = std::min(first + cut.q_block, q.end) - 1;
    for (std::int32_t source = first / cut.q_block; source <= last / cut.q_block; ++source) {
      const std::span<const BlockKind> old = row.at(b, h, source);
      for (std::size_t i = 0; i < columns; ++i) {
        const std::int32_t left = kv.begin + static_cast<std::int32_t>(i) * cut.kv_block;
        const std::int32_t right = std::min(left + cut.kv_block, kv.end) - 1;
        const BlockKind kind = kind_of_parts(old[static_cast<std::size_t>(left / cut.kv_block)],
                                             old[static_cast<std::size_t>(right / cut.kv_block)]);
        kinds[i] = source == first / cut.q_block ? kind : kind_of_parts(kinds[i], kind);
      }
    }
    return kinds;
  });
}

}  // namespace flexjit
