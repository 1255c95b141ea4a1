// The texts of linear weights, interpreted, inside the naive reference.
#include <algorithm>
#include <optional>

#include "engine/linear/linear.h"
#include "engine/row_pattern.h"
#include "ir/evaluate/interpreter.h"
#include "reference/reference_linear.h"
#include "support/elements.h"

namespace flexjit::engine {

namespace {

// The interpreter of the sequence in progress, and the first fault.
class LinearText {
 public:
  LinearText(const Pattern& pattern, const Call& call) : pattern_(pattern), call_(call) {}

  bool map(const reference::ReferenceRow& of, std::span<const double> elements, std::span<double> features) {
    start(of);
    double squares = 0;
    for (double x : elements) squares += x * x;
    project(elements, features);
    for (std::size_t begin = 0; begin < features.size() && !fault_; begin += ir::Interpreter::kMaxCount) {
      const std::span<double> part =
          features.subspan(begin, std::min<std::size_t>(ir::Interpreter::kMaxCount, features.size() - begin));
      fault_ = interpreter_->eval_feature(range_of(of, begin, part.size()), squares, part);
    }
    return !fault_;
  }

  bool gates(const reference::ReferenceRow& of, std::span<double> gates) {
    start(of);
    for (std::size_t begin = 0; begin < gates.size() && !fault_; begin += ir::Interpreter::kMaxCount) {
      const std::span<double> part =
          gates.subspan(begin, std::min<std::size_t>(ir::Interpreter::kMaxCount, gates.size() - begin));
      fault_ = interpreter_->eval_gate(range_of(of, begin, part.size()), part);
    }
    return !fault_;
  }

  const std::optional<ir::ReadFault>& fault() const { return fault_; }

 private:
  static ir::RowRange range_of(const reference::ReferenceRow& of, std::size_t begin, std::size_t count) {
    return {.b = of.b(), .h = of.h, .kv_begin = static_cast<std::int32_t>(begin), .count = static_cast<std::int32_t>(count)};
  }

  void start(const reference::ReferenceRow& of) {
    if (sequence_ == of.sequence) return;
    sequence_ = of.sequence;
    environment_ = call_.environment_of(*sequence_);
    interpreter_.emplace(pattern_.lowered, environment_);
  }

  // features = W elements, or the elements
  void project(std::span<const double> elements, std::span<double> features) {
    if (!pattern_.interface.projection) {
      std::ranges::copy(elements, features.begin());
      return;
    }
    const TensorView& matrix = call_.bound.buffers[*pattern_.interface.projection];
    for (std::size_t f = 0; f < features.size(); ++f) {
      features[f] = 0;
      for (std::size_t d = 0; d < elements.size(); ++d) {
        double w = 0;
        const std::int64_t at =
            static_cast<std::int64_t>(f) * matrix.strides[0] + static_cast<std::int64_t>(d) * matrix.strides[1];
        support::read_elements(matrix.dtype, matrix.data, at, {&w, 1});
        features[f] += w * elements[d];
      }
    }
  }

  const Pattern& pattern_;
  const Call& call_;
  const plan::Sequence* sequence_ = nullptr;
  ir::Environment environment_;
  std::optional<ir::Interpreter> interpreter_;
  std::optional<ir::ReadFault> fault_;
};

}  // namespace

Result<RunStats> attend_linear_by_reference(const Pattern& pattern, const Launch& launch, const Call& call,
                                            const reference::ReferenceQueries& queries) {
  const LinearPattern& linear = *pattern.linear;
  LinearText text(pattern, call);
  RowPattern mask(pattern.lowered, call);
  using Row = reference::ReferenceRow;
  reference::LinearReference of{
      .features = linear.shape.features,
      .normalised = linear.shape.normalised,
      .eps = linear.eps,
      .map = [&](const Row& row, std::span<const double> x, std::span<double> f) { return text.map(row, x, f); },
      .mask = [&](const Row& row, std::span<double> weights) { return mask.apply(row, weights); }};
  if (pattern.lowered.gate().valid()) {
    of.gates = [&](const Row& row, std::span<double> gates) { return text.gates(row, gates); };
    of.last_key = [&](const Row& row) {
      const ir::Environment environment = call.environment_of(*row.sequence);
      const std::int64_t last = row.q_idx + diagonal_of(linear.diagonals, environment, row.b(), row.h);
      return static_cast<std::int32_t>(std::min<std::int64_t>(last, row.sequence->kv_len - 1));
    };
  }
  const reference::ReferenceKernel kernel{pattern.types, pattern.weights, pattern.head_dim, pattern.v_head_dim};
  if (!reference::reference_linear(launch.arg, kernel, queries, of))
    return describe_fault(pattern, call.bound.buffers, (text.fault() ? text.fault() : mask.fault()).value());
  RunStats stats;
  for (const plan::Sequence& sequence : queries.sequences) {
    const std::int64_t rows = std::clamp(sequence.q_len - queries.begin, 0, queries.count);
    stats.scores_visited += call.shape.q_heads * rows * sequence.kv_len;
  }
  return stats;
}

}  // namespace flexjit::engine
