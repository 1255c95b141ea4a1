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

void RowPattern::start(const plan::Sequence& sequence) {
  if (sequence_ == &sequence) return;
  sequence_ = &sequence;
  environment_ = call_.environment_of(sequence);
  interpreter_.emplace(program_, environment_);
  mask_ = call_.mask_of(sequence);
}

bool RowPattern::apply(const reference::ReferenceRow& row, std::span<double> scores) {
  return visit_segments(row, [&](const Segment& segment) {
    const std::span<double> part = scores.subspan(segment.begin(), segment.count());
    std::optional<ir::ReadFault> fault = interpreter_->eval_score(segment.range, segment.allowed, part);
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (segment.allowed[i] == 0) part[i] = kMasked;
    }
    return fault;
  });
}

bool RowPattern::weight_factors(const reference::ReferenceRow& row, std::span<double> factors) {
  return visit_segments(row, [&](const Segment& segment) {
    const std::span<double> part = factors.subspan(segment.begin(), segment.count());
    return interpreter_->eval_weight_factor(segment.range, segment.allowed, part);
  });
}

bool RowPattern::pull_back(const reference::ReferenceRow& row, std::span<const double> scores, std::span<double> gradients,
                           const Add& add) {
  return visit_segments(row, [&](const Segment& segment) {
    const std::span<const double> part = scores.subspan(segment.begin(), segment.count());
    const std::span<double> part_gradients = gradients.subspan(segment.begin(), segment.count());
    std::optional<ir::ReadFault> fault = interpreter_->eval_score_grad(segment.range, segment.allowed, part, part_gradients);
    if (!fault) add(*interpreter_, segment.range, segment.allowed);
    return fault;
  });
}

bool RowPattern::visit_segments(const reference::ReferenceRow& row,
                                const std::function<std::optional<ir::ReadFault>(const Segment&)>& visit) {
  start(*row.sequence);
  std::array<std::uint8_t, ir::Interpreter::kMaxCount> storage;
  for (std::int32_t begin = 0; begin < sequence_->kv_len && !fault_;) {
    const std::int32_t end = segment_end(begin);
    const ir::RowRange range{.b = row.b(), .h = row.h, .q_idx = row.q_idx, .kv_begin = begin, .count = end - begin};
    const std::span<std::uint8_t> allowed = std::span(storage).first(static_cast<std::size_t>(range.count));
    find_allowed(range, allowed);
    if (!fault_) fault_ = visit({range, allowed});
    begin = end;
  }
  return !fault_;
}

// Segments end where the interpreter's rows, the given mask's blocks or pages of which some are not there do.
std::int32_t RowPattern::segment_end(std::int32_t begin) const {
  std::int64_t end = std::int64_t{begin} + ir::Interpreter::kMaxCount;
  if (mask_ != nullptr) {
    const std::int64_t block = mask_->shape().kv_block;
    end = std::min(end, (begin / block + 1) * block);
  }
  if (sequence_->has_holes) end = std::min(end, (std::int64_t{begin} / call_.page_size + 1) * call_.page_size);
  return static_cast<std::int32_t>(std::min<std::int64_t>(end, sequence_->kv_len));
}

// Without a given mask every block is left to the pattern's.
BlockKind RowPattern::kind_of(const ir::RowRange& range) const {
  if (sequence_->is_hole(range.kv_begin, call_.page_size)) return BlockKind::kEmpty;
  if (mask_ == nullptr) return BlockKind::kPartial;
  const BlockMaskShape& shape = mask_->shape();
  const std::int32_t q_block = range.q_idx / shape.q_block;
  return mask_->kind(shape.batch == 1 ? 0 : range.b, range.h, q_block, range.kv_begin / shape.kv_block);
}

void RowPattern::find_allowed(const ir::RowRange& range, std::span<std::uint8_t> allowed) {
  const BlockKind kind = kind_of(range);
  std::ranges::fill(allowed, kind == BlockKind::kEmpty ? std::uint8_t{0} : std::uint8_t{1});
  if (kind == BlockKind::kPartial) fault_ = interpreter_->eval_mask(range, allowed);
}

}  // namespace flexjit::engine
