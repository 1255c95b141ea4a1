// See naive.h.
#include "naive.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace flexjit::conformance {
namespace {

constexpr double kMasked = -std::numeric_limits<double>::infinity();

// Arithmetic that rounds results to `low` and sums to fp32, or does neither.
struct Arithmetic {
  std::optional<DType> low;
  double result(double value) const { return low ? nearest(*low, value) : value; }
  double sum(double value) const { return low ? nearest(DType::kF32, value) : value; }
};

const double* row_of(const std::vector<double>& tensor, std::int32_t row, std::int32_t dim) {
  return tensor.data() + static_cast<std::ptrdiff_t>(row) * dim;
}

class Naive {
 public:
  Naive(const TypedTensors& tensors, const NaivePattern& pattern, std::optional<DType> low)
      : t_(tensors),
        pattern_(pattern),
        math_{low},
        scale_(pattern.scale ? double{*pattern.scale} : 1 / std::sqrt(tensors.shape.head_dim)) {
    keys_ = t_.k;
    if (!low) return;
    for (double& key : keys_) key = math_.result(key * scale_);
  }

  NaiveResult run() {
    const Shape& s = t_.shape;
    for (std::int32_t b = 0; b < s.batch; ++b) {
      for (std::int32_t h = 0; h < s.q_heads; ++h) {
        for (std::int32_t q_idx = 0; q_idx < s.q_len; ++q_idx) add_row(b, h, q_idx);
      }
    }
    return std::move(result_);
  }

 private:
  std::int32_t key_row(std::int32_t b, std::int32_t h, std::int32_t kv) const {
    const Shape& s = t_.shape;
    return (b * s.kv_heads + h / (s.q_heads / s.kv_heads)) * s.kv_len + kv;
  }

  double scaled_dot(std::int32_t q_row, std::int32_t k_row) const {
    const std::int32_t dim = t_.shape.head_dim;
    const double *q = row_of(t_.q, q_row, dim), *k = row_of(keys_, k_row, dim);
    double dot = 0;
    for (std::int32_t d = 0; d < dim; ++d) dot = math_.sum(dot + q[d] * k[d]);
    return math_.low ? math_.result(dot) : dot * scale_;
  }

  void add_row(std::int32_t b, std::int32_t h, std::int32_t q_idx) {
    const Shape& s = t_.shape;
    std::vector<double> scores;
    for (std::int32_t kv = 0; kv < s.kv_len; ++kv) {
      const Position at{b, h, q_idx, kv};
      const double scaled = scaled_dot((b * s.q_heads + h) * s.q_len + q_idx, key_row(b, h, kv));
      const double score = pattern_.score ? math_.result(pattern_.score(scaled, at)) : scaled;
      scores.push_back(!pattern_.mask || pattern_.mask(at) ? score : kMasked);
    }
    double largest = kMasked;
    for (double score : scores) largest = score > largest ? score : largest;
    result_.max_scores.push_back(largest);
    const Total total = sum_of(scores, largest, pattern_.sinks.empty() ? kMasked : pattern_.sinks[static_cast<std::size_t>(h)]);
    result_.lse.push_back(total.sum == 0 ? kMasked : total.highest + std::log(total.sum));
    for (double& score : scores) score = weight_of(score, total);
    for (std::int32_t d = 0; d < s.value_dim(); ++d) {
      double sum = 0;
      for (std::int32_t kv = 0; kv < s.kv_len; ++kv) {
        const double weight = scores[static_cast<std::size_t>(kv)];
        if (weight != 0) sum = math_.sum(sum + weight * row_of(t_.v, key_row(b, h, kv), s.value_dim())[d]);
      }
      result_.out.push_back(math_.result(sum));
    }
  }

  // The sum of exp(score - highest) over what is not masked, the sink included.
  struct Total {
    double highest, sum;
  };

  // Differences come first, so that scores of any size keep their weights.
  double weight_of(double score, const Total& total) const {
    if (pattern_.weights == Weights::kSigmoid) return math_.result(1 / (1 + std::exp(-score)));
    return score == kMasked ? 0 : math_.result(math_.sum(std::exp(score - total.highest) / total.sum));
  }

  Total sum_of(const std::vector<double>& scores, double largest, double sink) const {
    const double highest = largest > sink ? largest : sink;
    double sum = sink == kMasked ? 0 : std::exp(sink - highest);
    for (double score : scores) {
      if (score != kMasked) sum = math_.sum(sum + std::exp(score - highest));
    }
    return {highest, sum};
  }

  const TypedTensors& t_;
  const NaivePattern& pattern_;
  Arithmetic math_;
  double scale_;
  std::vector<double> keys_;  // times the scale, in the low precision
  NaiveResult result_;
};

}  // namespace

NaiveResult naive_attention(const TypedTensors& tensors, const NaivePattern& pattern, std::optional<DType> low) {
  return Naive(tensors, pattern, low).run();
}

double worst_difference(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    const double difference = std::abs(a[i] - b[i]);
    worst = std::isnan(difference) ? std::numeric_limits<double>::infinity() : std::max(worst, difference);
  }
  return worst;
}

std::vector<double> widened(const std::vector<float>& values) { return {values.begin(), values.end()}; }

}  // namespace flexjit::conformance
