// See oracle.h.
#include "support/oracle.h"

#include "support/oracle_arithmetic.h"

#include <cmath>
#include <limits>

#include "support/encodings.h"

namespace flexjit::test {
namespace {

constexpr double kUnwritten = std::numeric_limits<double>::quiet_NaN();

const double* row_of(const std::vector<double>& tensor, std::int64_t row, std::int32_t dim) {
  return tensor.data() + row * dim;
}

class Oracle {
 public:
  Oracle(const Problem& problem, const OraclePattern& pattern, std::optional<DType> low)
      : shape_(problem.shape),
        pattern_(pattern),
        math_{low},
        scale_(pattern.scale ? Real{*pattern.scale} : 1 / std::sqrt(static_cast<Real>(problem.shape.head_dim))),
        q_(problem.q.values()),
        k_(problem.k.values()),
        v_(problem.v.values()) {
    if (!low) return;
    for (double& key : k_) key = static_cast<double>(math_.result(key * scale_));
  }

  OracleResult run() {
    for (std::int32_t b = 0; b < shape_.batch; ++b) {
      for (std::int32_t h = 0; h < shape_.q_heads; ++h) {
        for (std::int32_t q_idx = 0; q_idx < shape_.q_len; ++q_idx) add_row(b, h, q_idx);
      }
    }
    return std::move(result_);
  }

 private:
  std::int64_t key_row(const Position& p) const {
    return (std::int64_t{p.b} * shape_.kv_heads + p.h / (shape_.q_heads / shape_.kv_heads)) * shape_.kv_len + p.kv_idx;
  }

  Real score_at(const Position& p) const {
    if (pattern_.mask && !pattern_.mask(p)) return kMasked;
    const std::int64_t q_row = (std::int64_t{p.b} * shape_.q_heads + p.h) * shape_.q_len + p.q_idx;
    const double *q = row_of(q_, q_row, shape_.head_dim), *k = row_of(k_, key_row(p), shape_.head_dim);
    Real dot = 0;
    for (std::int32_t d = 0; d < shape_.head_dim; ++d) dot = math_.sum(dot + Real{q[d]} * Real{k[d]});
    const Real scaled = math_.low ? math_.result(dot) : dot * scale_;
    return pattern_.score ? math_.result(pattern_.score(scaled, p)) : scaled;
  }

  void add_row(std::int32_t b, std::int32_t h, std::int32_t q_idx) {
    std::vector<Real> scores;
    Real largest = kMasked;
    for (Position p{b, h, q_idx, 0}; p.kv_idx < shape_.kv_len; ++p.kv_idx) {
      scores.push_back(score_at(p));
      largest = scores.back() > largest ? scores.back() : largest;
    }
    const Total total = sum_of(scores, largest, pattern_.sinks.empty() ? kMasked : Real{pattern_.sinks.at(std::size_t(h))});
    const bool softmax = pattern_.weights == Weights::kSoftmax;
    const Real lse = total.sum == 0 ? kMasked : total.highest + std::log(total.sum);
    result_.max_scores.push_back(softmax ? static_cast<double>(largest) : kUnwritten);
    result_.lse.push_back(softmax ? static_cast<double>(lse) : kUnwritten);
    std::vector<Real> row(static_cast<std::size_t>(shape_.value_dim()), 0);
    for (Position p{b, h, q_idx, 0}; p.kv_idx < shape_.kv_len; ++p.kv_idx) {
      Real weight = weight_of(scores[static_cast<std::size_t>(p.kv_idx)], total);
      if (pattern_.factor && weight != 0) weight = math_.result(weight * pattern_.factor(p));
      if (static_cast<double>(weight) == 0) continue;
      const double* v = row_of(v_, key_row(p), shape_.value_dim());
      for (Real& value : row) value = math_.sum(value + weight * Real{*v++});
    }
    for (const Real value : row) result_.out.push_back(static_cast<double>(math_.result(value)));
  }

  // The sum of exp(score - highest) over what is not masked, the sink included.
  struct Total {
    Real highest, sum;
  };

  // Differences come first, so that scores of any size keep their weights.
  Real weight_of(Real score, const Total& total) const {
    if (pattern_.weights == Weights::kSigmoid) return math_.result(1 / (1 + std::exp(-score)));
    return score == kMasked ? 0 : math_.result(math_.sum(std::exp(score - total.highest) / total.sum));
  }

  Total sum_of(const std::vector<Real>& scores, Real largest, Real sink) const {
    const Real highest = largest > sink ? largest : sink;
    Real sum = sink == kMasked ? 0 : std::exp(sink - highest);
    for (const Real score : scores) {
      if (score != kMasked) sum = math_.sum(sum + std::exp(score - highest));
    }
    return {highest, sum};
  }

  const Shape shape_;
  const OraclePattern& pattern_;
  Arithmetic math_;
  Real scale_;
  std::vector<double> q_, k_, v_;  // K times the scale, in a low precision
  OracleResult result_;
};

}  // namespace

OracleResult oracle(const Problem& problem, const OraclePattern& pattern, std::optional<DType> low) {
  return Oracle(problem, pattern, low).run();
}

}  // namespace flexjit::test
