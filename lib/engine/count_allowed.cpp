// Attention::count_allowed: the exact number of pairs that a mask allows. Blocks that intervals decide are counted by their
// area, the others element by element; a plane stands for all those that the mask does not tell apart.
#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "call/call.h"
#include "diagnostics/guard.h"
#include "ir/evaluate/interpreter.h"
#include "mask/derive/classify.h"

namespace flexjit {

namespace {

struct Span {
  std::int32_t begin = 0;
  std::int32_t end = 0;
};

// The positions of `count` blocks from `index` on; the last block ends with the sequence.
Span positions(std::int32_t index, std::int32_t count, std::int32_t block, std::int32_t length) {
  const std::int64_t begin = std::int64_t{index} * block, end = begin + std::int64_t{count} * block;
  return {static_cast<std::int32_t>(begin), static_cast<std::int32_t>(std::min<std::int64_t>(end, length))};
}

// Blocks to count by: small ones leave few elements to evaluate, but must not be more than some ten thousand a side.
std::int32_t counting_block(std::int32_t wanted, std::int32_t length) { return std::min(wanted, std::max(16, length >> 16)); }

class Counter {
 public:
  Counter(const ir::Program& program, const ir::Environment& environment, const BlockMask& mask, std::int32_t first_b)
      : interpreter_(program, environment), mask_(mask), first_b_(first_b) {}

  // All planes of the mask, each once. On a fault the count means nothing.
  std::int64_t count() {
    std::int64_t total = 0;
    const BlockMaskShape& shape = mask_.shape();
    for (std::int32_t b = 0; b < shape.batch; ++b) {
      for (std::int32_t h = 0; h < shape.heads; ++h) {
        for (std::int32_t q_block = 0; q_block < shape.q_blocks() && !fault_; ++q_block) total += count_row(b, h, q_block);
      }
    }
    return total;
  }

  const std::optional<ir::ReadFault>& fault() const { return fault_; }

 private:
  std::int64_t count_row(std::int32_t b, std::int32_t h, std::int32_t q_block) {
    const BlockMaskShape& shape = mask_.shape();
    const Span queries = positions(q_block, 1, shape.q_block, shape.q_len);
    std::int64_t total = 0;
    mask_.row_runs(b, h, q_block, runs_);
    for (const BlockRun& run : runs_) {
      Span keys = positions(run.kv_begin, run.kv_end - run.kv_begin, shape.kv_block, shape.kv_len);
      if (run.kind == BlockKind::kFull) {
        total += std::int64_t{queries.end - queries.begin} * (keys.end - keys.begin);
        continue;
      }
      while (keys.begin < keys.end && !fault_) {
        const std::int32_t count = std::min(keys.end - keys.begin, ir::Interpreter::kMaxCount);
        total += count_pairs(b, h, queries, {keys.begin, keys.begin + count});
        keys.begin += count;
      }
    }
    return total;
  }

  // Query by query over the same keys, so that the interpreter keeps what depends on them.
  std::int64_t count_pairs(std::int32_t b, std::int32_t h, Span queries, Span keys) {
    std::int64_t total = 0;
    const std::int32_t count = keys.end - keys.begin;
    const std::span<std::uint8_t> allowed = std::span(storage_).first(static_cast<std::size_t>(count));
    for (std::int32_t q_idx = queries.begin; q_idx < queries.end && !fault_; ++q_idx) {
      fault_ =
          interpreter_.eval_mask({.b = first_b_ + b, .h = h, .q_idx = q_idx, .kv_begin = keys.begin, .count = count}, allowed);
      total += std::ranges::count(allowed, std::uint8_t{1});
    }
    return total;
  }

  ir::Interpreter interpreter_;
  const BlockMask& mask_;
  const std::int32_t first_b_;  // of the mask's planes
  std::vector<BlockRun> runs_;  // of the current block row
  std::array<std::uint8_t, ir::Interpreter::kMaxCount> storage_{};
  std::optional<ir::ReadFault> fault_;
};

Result<std::int64_t> times(std::int64_t pairs, std::int64_t planes) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  if (pairs > kMost / planes) return engine::single_finding("count_allowed", engine::Finding::kTooManyPairs, kMost);
  return pairs * planes;
}

// Batch entries from first_b on, in one environment.
struct Counted {
  const engine::Pattern& pattern;
  const engine::Bound& bound;
  const ir::Environment& environment;
  std::int32_t first_b = 0;
};

Result<std::int64_t> count(const Counted& of, const BlockMaskShape& shape) {
  const std::int64_t planes = std::int64_t{shape.batch} * shape.heads;
  if (!of.pattern.program.mask().valid()) return times(std::int64_t{shape.q_len} * shape.kv_len, planes);
  mask::ClassifyRequest request{.shape = shape, .first_b = of.first_b, .undecided = mask::Undecided::kLeavePartial};
  request.shape.q_block = counting_block(shape.q_block, shape.q_len);
  request.shape.kv_block = counting_block(shape.kv_block, shape.kv_len);
  const mask::Classified classified = mask::classify(of.pattern.program, of.environment, request);
  if (classified.fault) return engine::describe_fault(of.pattern, of.bound.buffers, *classified.fault);
  Counter counter(of.pattern.program, of.environment, *classified.mask, of.first_b);
  const std::int64_t counted = counter.count();
  if (counter.fault()) return engine::describe_fault(of.pattern, of.bound.buffers, *counter.fault());
  const BlockMaskShape& made = classified.mask->shape();
  return times(counted, planes / (std::int64_t{made.batch} * made.heads));
}

}  // namespace

Result<std::int64_t> Attention::count_allowed(const BlockMaskOptions& options, const Bindings* bindings) const {
  return engine::guarded("count_allowed", *this, [&]() -> Result<std::int64_t> {
    const engine::Pattern& pattern = *impl_->pattern;
    engine::Report report("count_allowed");
    const std::optional<engine::CallShape> shape = engine::check_mask_options(options, report);
    const engine::Bound bound = engine::bind_names(pattern.interface, bindings, shape, report);
    if (!report.empty()) return report.take();
    return count({pattern, bound, bound.environment}, engine::mask_shape_of(options));
  });
}

Result<std::int64_t> Attention::count_allowed(const RunArgs& args) const {
  return engine::guarded("count_allowed", *this, [&]() -> Result<std::int64_t> {
    const Result<engine::Call> call = engine::check_call(*impl_->pattern, args);
    if (!call) return call.diagnostics();
    std::int64_t total = 0;
    for (const plan::Sequence& sequence : call->sequences) {
      if (sequence.q_len == 0 || sequence.kv_len == 0) continue;
      const ir::Environment environment = call->environment_of(sequence);
      const BlockMaskShape shape{.heads = call->shape.q_heads, .q_len = sequence.q_len, .kv_len = sequence.kv_len};
      const Result<std::int64_t> pairs = count({*impl_->pattern, call->bound, environment, sequence.b}, shape);
      if (!pairs) return pairs;
      total += *pairs;
    }
    return total;
  });
}

}  // namespace flexjit
