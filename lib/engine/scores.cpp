// Attention::scores: what the softmax of some rows sees, so that a person can look at what a pattern does. By the interpreter,
// not by a kernel: a kernel stores no scores, and what is to be compared with it should not come from it.
#include <algorithm>

#include "call/call.h"
#include "diagnostics/guard.h"
#include "engine/row_pattern.h"
#include "reference/reference_attention.h"

namespace flexjit {
namespace engine {
namespace {

constexpr std::int64_t kMaxScores = std::int64_t{1} << 26;

// The planes and rows that are wanted, all ranges.
struct WantedRows {
  PositionRange b, h, q;

  std::int64_t rows() const {
    return (std::int64_t{b.end} - b.begin) * (std::int64_t{h.end} - h.begin) * (std::int64_t{q.end} - q.begin);
  }
};

PositionRange planes_of(const std::optional<std::int32_t>& one, std::int32_t count) {
  return one ? PositionRange{*one, *one + 1} : PositionRange{0, count};
}

void check_plane(const char* name, const std::optional<std::int32_t>& index, std::int32_t count, Report& report) {
  if (!index || (*index >= 0 && *index < count)) return;
  report.add(Finding::kBadOption, name, *index, fmt::format("there are {}, numbered from 0", count));
}

Diagnostics check_rows(const ScoreRows& rows, const CallShape& shape) {
  Report report("scores");
  check_plane("ScoreRows::b", rows.b, shape.batch, report);
  check_plane("ScoreRows::h", rows.h, shape.q_heads, report);
  if (rows.q.begin < 0 || rows.q.begin > rows.q.end || rows.q.end > shape.q_len) {
    report.add(Finding::kBadOption, "ScoreRows::q", fmt::format("[{}, {})", rows.q.begin, rows.q.end),
               fmt::format("it must be inside [0, {})", shape.q_len));
  }
  if (!report.empty()) return report.take();
  const WantedRows wanted{planes_of(rows.b, shape.batch), planes_of(rows.h, shape.q_heads), rows.q};
  if (shape.kv_len > 0 && wanted.rows() > kMaxScores / shape.kv_len) {
    report.add(Finding::kBadOption, "the number of scores", fmt::format("{} x {}", wanted.rows(), shape.kv_len),
               fmt::format("take fewer rows, or one head: at most {} come at once", kMaxScores));
  }
  return report.take();
}

Result<std::vector<float>> modified_scores(const Pattern& pattern, const RunArgs& args, const Call& call,
                                           const WantedRows& wanted) {
  const Launch launch = make_launch(pattern, args, call);
  const reference::ReferenceKernel kernel{pattern.types, pattern.weights, pattern.head_dim, pattern.v_head_dim};
  reference::ReferenceScores scaled(launch.arg, kernel);
  RowPattern apply(pattern.lowered, call);
  std::vector<double> row(static_cast<std::size_t>(call.shape.kv_len));
  std::vector<float> scores;
  scores.reserve(static_cast<std::size_t>(wanted.rows()) * row.size());
  for (std::int32_t b = wanted.b.begin; b < wanted.b.end; ++b) {
    for (std::int32_t h = wanted.h.begin; h < wanted.h.end; ++h) {
      for (std::int32_t q = wanted.q.begin; q < wanted.q.end; ++q) {
        scaled.compute({b, h, q}, row);
        if (!apply.apply({b, h, q}, row)) return describe_fault(pattern, call.bound.buffers, apply.fault().value());
        std::ranges::transform(row, std::back_inserter(scores), [](double score) { return static_cast<float>(score); });
      }
    }
  }
  return scores;
}

}  // namespace
}  // namespace engine

Result<std::vector<float>> Attention::scores(const RunArgs& args, const ScoreRows& rows) const {
  return engine::guarded("scores", *this, [&]() -> Result<std::vector<float>> {
    const Result<engine::Call> call = engine::check_call(*impl_->pattern, args);
    if (!call) return call.diagnostics();
    const engine::CallShape& shape = call->shape;
    if (const Diagnostics wrong = engine::check_rows(rows, shape); !wrong.empty()) return wrong;
    const engine::WantedRows wanted{engine::planes_of(rows.b, shape.batch), engine::planes_of(rows.h, shape.q_heads), rows.q};
    return engine::modified_scores(*impl_->pattern, args, *call, wanted);
  });
}

}  // namespace flexjit
