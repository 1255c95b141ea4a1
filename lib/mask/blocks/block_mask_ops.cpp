// Block masks -> block masks, from their lists alone: cut, turned, combined. Where the blocks do not decide a result it is
// partial. Rows are taken as runs, so that the cost follows the runs and not the blocks.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "flexjit/block_mask.h"
#include "mask/blocks/block_mask_builder.h"
#include "mask/blocks/mask_errors.h"

namespace flexjit {

namespace {

constexpr auto kEmpty = BlockKind::kEmpty, kPartial = BlockKind::kPartial, kFull = BlockKind::kFull;

// One block row as runs that leave nothing out: empty ones as well.
class WholeRow {
 public:
  explicit WholeRow(const BlockMask& mask) : mask_(mask) {}

  std::span<const BlockRun> at(std::int32_t b, std::int32_t h, std::int32_t q_block) {
    mask_.row_runs(b, h, q_block, listed_);
    runs_.clear();
    std::int32_t end = 0;
    const auto fill_up_to = [&](std::int32_t begin) {
      if (end < begin) runs_.push_back({end, begin, kEmpty});
    };
    for (const BlockRun& run : listed_) {
      fill_up_to(run.kv_begin);
      runs_.push_back(run);
      end = run.kv_end;
    }
    fill_up_to(mask_.shape().kv_blocks());
    return runs_;
  }

 private:
  const BlockMask& mask_;
  std::vector<BlockRun> listed_, runs_;
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

// Two rows of the same blocks, block by block, into runs.
void combine_rows(std::span<const BlockRun> a, std::span<const BlockRun> b, BlockKind (*kind_of)(BlockKind, BlockKind),
                  std::vector<BlockRun>& out) {
  out.clear();
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const std::int32_t begin = std::max(a[i].kv_begin, b[j].kv_begin), end = std::min(a[i].kv_end, b[j].kv_end);
    const BlockKind kind = kind_of(a[i].kind, b[j].kind);
    if (!out.empty() && out.back().kind == kind)
      out.back().kv_end = end;
    else
      out.push_back({begin, end, kind});
    i += a[i].kv_end == end ? 1 : 0;
    j += b[j].kv_end == end ? 1 : 0;
  }
}

// `row_of`(b, h, q_block): ascending runs.
template <typename RowOf>
BlockMask build(const BlockMaskShape& shape, RowOf row_of) {
  mask::BlockMaskBuilder builder(shape);
  for (std::int32_t b = 0; b < shape.batch; ++b) {
    for (std::int32_t h = 0; h < shape.heads; ++h) {
      for (std::int32_t q = 0; q < shape.q_blocks(); ++q) {
        for (const BlockRun& run : row_of(b, h, q)) builder.add({q, q + 1, run.kv_begin, run.kv_end}, run.kind);
      }
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
  // Batch entries of one and heads of the other may be more planes than either has.
  if (Diagnostics found = mask::check_shape(shape); !found.empty()) return found;
  WholeRow row_of_a(a), row_of_b(b);
  std::vector<BlockRun> runs;
  return build(shape, [&](std::int32_t plane_b, std::int32_t plane_h, std::int32_t q) -> std::span<const BlockRun> {
    combine_rows(row_of_a.at(plane_b, plane_h, q), row_of_b.at(plane_b, plane_h, q), kind_of, runs);
    return runs;
  });
}

// A row of the mask as one of a slice that begins at key `keys.begin`: each block of the slice is covered by at most two of it.
// Positions in 64 bits: the end of a block may lie beyond the largest length.
class RowCutter {
 public:
  RowCutter(std::int64_t kv_block, PositionRange keys) : kv_block_(kv_block), keys_(keys) {}

  void cut(std::span<const BlockRun> row, std::vector<BlockRun>& out) const {
    out.clear();
    for (const BlockRun& run : row) {
      const std::int64_t begin = std::max<std::int64_t>(run.kv_begin * kv_block_, keys_.begin);
      const std::int64_t end = std::min<std::int64_t>(run.kv_end * kv_block_, keys_.end);
      if (begin < end) add(out, begin - keys_.begin, end - keys_.begin, run.kind);
    }
  }

 private:
  // Positions [begin, end) of one kind, behind those before. The block in which two kinds meet is a mixed one.
  void add(std::vector<BlockRun>& out, std::int64_t begin, std::int64_t end, BlockKind kind) const {
    auto first = static_cast<std::int32_t>(begin / kv_block_);
    const auto last = static_cast<std::int32_t>((end + kv_block_ - 1) / kv_block_);
    if (!out.empty() && out.back().kv_end > first) {
      BlockRun& before = out.back();
      const BlockKind mixed = kind_of_parts(before.kind, kind);
      if (mixed != before.kind) {
        before.kv_end = first;
        if (before.kv_begin == first) out.pop_back();
        out.push_back({first, first + 1, mixed});
      }
      ++first;
    }
    if (first < last) out.push_back({first, last, kind});
  }

  std::int64_t kv_block_;
  PositionRange keys_;
};

}  // namespace

Result<BlockMask> BlockMask::intersect(const BlockMask& other) const { return combine(*this, other, kind_of_and); }
Result<BlockMask> BlockMask::unite(const BlockMask& other) const { return combine(*this, other, kind_of_or); }

BlockMask BlockMask::complement() const {
  WholeRow row(*this);
  std::vector<BlockRun> runs;
  return build(shape_, [&](std::int32_t b, std::int32_t h, std::int32_t q) -> std::span<const BlockRun> {
    const std::span<const BlockRun> old = row.at(b, h, q);
    runs.assign(old.begin(), old.end());
    for (BlockRun& run : runs) run.kind = kind_of_not(run.kind);
    return runs;
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
  WholeRow row(*this);
  const RowCutter cutter(cut.kv_block, kv);
  std::array<std::vector<BlockRun>, 3> runs;
  return build(cut, [&](std::int32_t b, std::int32_t h, std::int32_t block) -> std::span<const BlockRun> {
    const std::int64_t first = q.begin + std::int64_t{block} * cut.q_block;
    const std::int64_t last = std::min<std::int64_t>(first + cut.q_block, q.end) - 1;
    const auto above = static_cast<std::int32_t>(first / cut.q_block), below = static_cast<std::int32_t>(last / cut.q_block);
    cutter.cut(row.at(b, h, above), runs[0]);
    if (above == below) return runs[0];
    cutter.cut(row.at(b, h, below), runs[1]);
    combine_rows(runs[0], runs[1], kind_of_parts, runs[2]);
    return runs[2];
  });
}

}  // namespace flexjit
