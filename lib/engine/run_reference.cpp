// Attention::run_reference, the reference backend and callbacks: the lowered text, interpreted row by row, inside naive fp64
// attention.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "call/call.h"
#include "call/linear/linear_call.h"
#include "diagnostics/guard.h"
#include "engine/linear/linear.h"
#include "engine/row_pattern.h"
#include "flexjit/callbacks.h"
#include "reference/reference_attention.h"

namespace flexjit {

namespace engine {

namespace {

// The scores of a row that the pattern allows, after the pattern.
void call_back(const Callbacks& callbacks, const reference::ReferenceRow& row, std::span<double> scores) {
  constexpr double kNever = -std::numeric_limits<double>::infinity();
  PairPosition at{row.sequence->b, row.h, row.q_idx, 0};
  for (double& score : scores) {
    if (score != kNever && callbacks.mask != nullptr && !callbacks.mask(callbacks.context, at)) score = kNever;
    if (score != kNever && callbacks.score != nullptr) score = callbacks.score(callbacks.context, score, at);
    ++at.kv_idx;
  }
}

Result<RunStats> attend_rows(const Pattern& pattern, const RunArgs& args, const Call& call,
                             const reference::ReferenceQueries& queries, const Callbacks& callbacks = {}) {
  const Launch launch = make_launch(pattern, args, call);
  RowPattern apply(pattern.lowered, call);
  if (pattern.weights == plan::Weights::kLinear) return attend_linear_by_reference(pattern, launch, call, queries);
  const reference::ReferenceKernel kernel{pattern.types, pattern.weights, pattern.head_dim, pattern.v_head_dim};
  using Row = reference::ReferenceRow;
  const auto modify = [&](const Row& row, std::span<double> scores) {
    const bool found_no_fault = apply.apply(row, scores);
    if (found_no_fault) call_back(callbacks, row, scores);
    return found_no_fault;
  };
  reference::ReferenceFactors factors;
  if (pattern.lowered.weight_factor().valid())
    factors = [&](const Row& row, std::span<double> of_row) { return apply.weight_factors(row, of_row); };
  const bool finished = reference::reference_attention(launch.arg, kernel, queries, modify, factors);
  if (!finished) return describe_fault(pattern, call.bound.buffers, apply.fault().value());
  RunStats stats{.blocks = call.block_mask != nullptr ? call.block_mask->counts() : BlockCounts{}, .scores_visited = 0};
  for (const plan::Sequence& sequence : queries.sequences) {
    const std::int64_t rows = std::clamp(sequence.q_len - queries.begin, 0, queries.count);
    stats.scores_visited += call.shape.q_heads * rows * sequence.kv_len;
  }
  return stats;
}

}  // namespace

Result<RunStats> attend_by_reference(const Pattern& pattern, const RunArgs& args, const Call& call, const ReferenceRows& rows) {
  reference::ReferenceQueries queries{.sequences = call.sequences, .begin = rows.q_begin};
  if (rows.q_count >= 0) queries.count = rows.q_count;
  return attend_rows(pattern, args, call, queries);
}

Result<RunStats> attend_by_reference(const Pattern& pattern, const RunArgs& args, const Call& call,
                                     std::span<const plan::Sequence> sequences) {
  return attend_rows(pattern, args, call, {.sequences = sequences});
}

}  // namespace engine

Result<RunStats> Attention::run_reference(const RunArgs& args, const ReferenceRows& rows) const {
  return engine::guarded("run", *this, [&]() -> Result<RunStats> {
    Result<engine::Call> call = engine::check_call(*impl_->pattern, args);
    if (!call) return call.diagnostics();
    if (rows.q_begin < 0 || rows.q_count < -1)
      return engine::single_finding("run", engine::Finding::kBadOption, "ReferenceRows",
                                    fmt::format("{} rows from {} on", rows.q_count, rows.q_begin),
                                    "rows count from 0; q_count -1 means all that follow");
    if (call->has_no_rows()) return RunStats{};
    return engine::attend_by_reference(*impl_->pattern, args, *call, rows);
  });
}

Result<RunStats> run_callbacks(const Attention& attention, const Callbacks& callbacks, const RunArgs& args) {
  return engine::guarded("run_callbacks", attention, [&]() -> Result<RunStats> {
    const engine::Pattern& pattern = *attention.impl().pattern;
    if (Diagnostics none = engine::refuse_linear(pattern, "run_callbacks", "they have no scores"); !none.empty()) return none;
    const Result<engine::Call> call = engine::check_call(pattern, args);
    if (!call) return call.diagnostics();
    if (call->has_no_rows()) return RunStats{};
    return engine::attend_rows(pattern, args, *call, {.sequences = call->sequences}, callbacks);
  });
}

}  // namespace flexjit
