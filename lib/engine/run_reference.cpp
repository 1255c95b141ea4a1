// Attention::run_reference and the reference backend: the lowered text, interpreted row by row, inside naive fp64 attention.
#include <fmt/format.h>

#include <algorithm>

#include "call/call.h"
#include "diagnostics/guard.h"
#include "engine/row_pattern.h"
#include "reference/reference_attention.h"

namespace flexjit {

namespace engine {

namespace {

struct RowBounds {
  std::int32_t begin = 0;
  std::int32_t count = 0;
};

RowBounds clamp_rows(const ReferenceRows& rows, std::int32_t q_len) {
  const std::int32_t begin = std::clamp(rows.q_begin, 0, q_len);
  const std::int32_t left = q_len - begin;
  return {begin, rows.q_count < 0 ? left : std::min(rows.q_count, left)};
}

void skip_rows(plan::TensorArg& tensor, DType dtype, std::int32_t row) {
  tensor.data = static_cast<char*>(tensor.data) + row * tensor.stride_row * static_cast<std::int64_t>(size_of(dtype));
}

void skip_rows(plan::RowArg& rows, std::int32_t row) {
  if (rows.data != nullptr) rows.data += row * rows.stride_row;
}

void skip_rows(plan::LseArg& rows, std::int32_t row) { rows.data = rows.at(0, 0, row); }

// The launch whose row 0 is `row` of this one.
void skip_rows(plan::Operands& launch, const plan::ElementTypes& types, std::int32_t row) {
  skip_rows(launch.q, types.q, row);
  skip_rows(launch.out, types.out, row);
  skip_rows(launch.lse, row);
  skip_rows(launch.max_scores, row);
}

}  // namespace

Result<RunStats> attend_by_reference(const Pattern& pattern, const RunArgs& args, const Call& call, const ReferenceRows& rows) {
  const RowBounds bounds = clamp_rows(rows, call.shape.q_len);
  Launch launch = make_launch(pattern, args, call);
  skip_rows(launch.arg, pattern.types, bounds.begin);
  launch.arg.q_len = bounds.count;
  RowPattern apply(pattern.lowered, call);
  const reference::ReferenceKernel kernel{pattern.types, pattern.weights, pattern.head_dim, pattern.v_head_dim};
  using Row = reference::ReferenceRow;
  const auto in_call = [&](const Row& row) { return Row{row.b, row.h, row.q_idx + bounds.begin}; };
  const auto modify = [&](const Row& row, std::span<double> scores) { return apply.apply(in_call(row), scores); };
  reference::ReferenceFactors factors;
  if (pattern.lowered.weight_factor().valid())
    factors = [&](const Row& row, std::span<double> of_row) { return apply.weight_factors(in_call(row), of_row); };
  const bool finished = reference::reference_attention(launch.arg, kernel, modify, factors);
  if (!finished) return describe_fault(pattern, call.bound.buffers, apply.fault().value());
  const std::int64_t planes = std::int64_t{call.shape.batch} * call.shape.q_heads;
  return RunStats{.blocks = call.block_mask != nullptr ? call.block_mask->counts() : BlockCounts{},
                  .scores_visited = planes * bounds.count * call.shape.kv_len};
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

}  // namespace flexjit
