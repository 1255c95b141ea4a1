// Segment by segment, as long as the interpreter takes them. What the block mask leaves out is not evaluated and reads nothing;
// in its full blocks the mask is not asked.
#include "engine/row_pattern.h"

#include <algorithm>
#include <array>
#include <limits>

namespace flexjit::engine {

namespace {

constexpr double kMasked = -std::numeric_limits<double>::infinity();

}  // namespace

bool RowPattern::apply(const reference::ReferenceRow& row, std::span<double> scores) {
  for (std::int32_t begin = 0; begin < kv_len_;) {
    const std::int32_t end = segment_end(begin);
    const ir::RowRange range{.b = row.b, .h = row.h, .q_idx = row.q_idx, .kv_begin = begin, .count = end - begin};
    const auto part = scores.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(range.count));
    const BlockKind kind = kind_of(range);
    if (kind == BlockKind::kEmpty) {
      std::ranges::fill(part, kMasked);
    } else if (!apply_segment(range, kind, part)) {
      return false;
    }
    begin = end;
  }
  return true;
}

// Segments end where the interpreter's rows or the given mask's blocks do.
std::int32_t RowPattern::segment_end(std::int32_t begin) const {
  std::int64_t end = std::int64_t{begin} + ir::Interpreter::kMaxCount;
  if (mask_ != nullptr) {
    const std::int64_t block = mask_->shape().kv_block;
    end = std::min(end, (begin / block + 1) * block);
  }
  return static_cast<std::int32_t>(std::min<std::int64_t>(end, kv_len_));
}

// Without a given mask every block is left to the pattern's.
BlockKind RowPattern::kind_of(const ir::RowRange& range) const {
  if (mask_ == nullptr) return BlockKind::kPartial;
  const BlockMaskShape& shape = mask_->shape();
  const std::int32_t q_block = range.q_idx / shape.q_block;
  return mask_->kind(range.b, range.h, q_block, range.kv_begin / shape.kv_block);
}

bool RowPattern::apply_segment(const ir::RowRange& range, BlockKind kind, std::span<double> scores) {
  std::array<std::uint8_t, ir::Interpreter::kMaxCount> storage;
  const std::span<std::uint8_t> allowed = std::span(storage).first(scores.size());
  std::ranges::fill(allowed, std::uint8_t{1});
  if (kind == BlockKind::kPartial) fault_ = interpreter_.eval_mask(range, allowed);
  if (!fault_) fault_ = interpreter_.eval_score(range, allowed, scores);
  if (fault_) return false;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (allowed[i] == 0) scores[i] = kMasked;
  }
  return true;
}

}  // namespace flexjit::engine
