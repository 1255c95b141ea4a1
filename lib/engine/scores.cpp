// Attention::scores and weights: what the softmax of some rows sees and makes, so that a person can look at what a pattern
// does. By the interpreter, not by a kernel: a kernel stores no scores, and what is to be compared with it should not come from
// it.
#include <algorithm>
#include <limits>

#include "call/call.h"
#include "call/linear/linear_call.h"
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

enum class Looked : std::uint8_t { kScores, kWeights };

// Modified scores -> weights, negative where they are dropped.
bool to_signed_weights(const plan::Operands& launch, const reference::ReferenceRow& at, RowPattern& apply,
                       const reference::ReferenceKernel& kernel, std::span<double> row) {
  for (double& score : row) score = reference::in_range(score, kernel.types);
  reference::to_weights(kernel.weights, row, reference::sink_of(launch, at.h));
  std::vector<double> factors(row.size(), 1.0);
  if (!apply.weight_factors(at, factors)) return false;
  for (std::size_t kv = 0; kv < row.size(); ++kv) {
    if (factors[kv] == 0) row[kv] = -row[kv];
  }
  return true;
}

Result<std::vector<float>> rows_of(Looked what, const Pattern& pattern, const RunArgs& args, const Call& call,
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
        const plan::Sequence& sequence = call.sequences[static_cast<std::size_t>(b)];
        const reference::ReferenceRow at{&sequence, h, q};
        // What a shorter sequence lacks is as masked.
        std::ranges::fill(row, what == Looked::kWeights ? 0.0 : -std::numeric_limits<double>::infinity());
        const std::span<double> of_row =
            std::span(row).first(static_cast<std::size_t>(q < sequence.q_len ? sequence.kv_len : 0));
        if (!of_row.empty()) {
          scaled.compute(at, of_row);
          bool fine = apply.apply(at, of_row);
          if (what == Looked::kWeights) fine = fine && to_signed_weights(launch.arg, at, apply, kernel, of_row);
          if (!fine) return describe_fault(pattern, call.bound.buffers, apply.fault().value());
        }
        std::ranges::transform(row, std::back_inserter(scores), [](double score) { return static_cast<float>(score); });
      }
    }
  }
  return scores;
}

Result<std::vector<float>> look(Looked what, const Pattern& pattern, const RunArgs& args, const ScoreRows& rows) {
  const Result<Call> call = check_call(pattern, args);
  if (!call) return call.diagnostics();
  const CallShape& shape = call->shape;
  if (const Diagnostics wrong = check_rows(rows, shape); !wrong.empty()) return wrong;
  const WantedRows wanted{planes_of(rows.b, shape.batch), planes_of(rows.h, shape.q_heads), rows.q};
  return rows_of(what, pattern, args, *call, wanted);
}

}  // namespace
}  // namespace engine

Result<std::vector<float>> Attention::scores(const RunArgs& args, const ScoreRows& rows) const {
  return engine::guarded("scores", *this, [&]() -> Result<std::vector<float>> {
    if (Diagnostics none = engine::refuse_linear(*impl_->pattern, "scores", "its weights are products of features");
        !none.empty())
      return none;
    return engine::look(engine::Looked::kScores, *impl_->pattern, args, rows);
  });
}

Result<std::vector<float>> Attention::weights(const RunArgs& args, const ScoreRows& rows) const {
  return engine::guarded("weights", *this, [&]() -> Result<std::vector<float>> {
    if (Diagnostics none = engine::refuse_linear(*impl_->pattern, "weights", "run() sums them up"); !none.empty()) return none;
    return engine::look(engine::Looked::kWeights, *impl_->pattern, args, rows);
  });
}

}  // namespace flexjit
