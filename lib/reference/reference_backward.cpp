// dS' = P (F dP - delta + dLSE), written down as it is: P from scores that are computed again and the stored lse, delta from
// the stored out. What has weight 0 is left out, never multiplied by 0, so that nothing which a masked key holds is seen.
#include "reference/reference_backward.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "support/elements.h"

namespace flexjit::reference {

namespace {

constexpr double kMaskedPair = -std::numeric_limits<double>::infinity();

using Vector = std::vector<double>;

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t d = 0; d < a.size(); ++d) sum += a[d] * b[d];
  return sum;
}

// sum += factor * row.
void add_scaled(std::span<double> sum, double factor, std::span<const double> row) {
  for (std::size_t d = 0; d < sum.size(); ++d) sum[d] += factor * row[d];
}

template <typename View>
std::int64_t offset_of(const View& view, const plan::Sequence::Place& place, std::int64_t head) {
  return place.batch * view.strides[0] + head * view.strides[1] + place.row * view.strides[2];
}
template <typename Arg>
std::int64_t place_in(const Arg& tensor, const plan::Sequence::Place& place, std::int64_t head) {
  return tensor.offset_of(place.batch, head, place.row);
}

// Row after row of a gradient of keys or values, for one kv head of a sequence at a time.
class KeySums {
 public:
  KeySums(const MutableTensorView& gradient, std::int32_t kv_len, std::int32_t dim)
      : gradient_(gradient), dim_(static_cast<std::size_t>(dim)), sums_(dim_ * static_cast<std::size_t>(kv_len)) {}

  std::span<double> row(std::int32_t kv) { return std::span(sums_).subspan(static_cast<std::size_t>(kv) * dim_, dim_); }

  // Writes what was summed up and starts again from 0.
  void flush(const plan::Sequence& sequence, std::int32_t kv_head) {
    if (gradient_.data != nullptr) {
      for (std::int32_t kv = 0; kv < sequence.kv_len; ++kv) {
        support::write_elements(gradient_.dtype, gradient_.data, offset_of(gradient_, sequence.key(kv, 1), kv_head), row(kv));
      }
    }
    std::ranges::fill(sums_, 0.0);
  }

 private:
  const MutableTensorView& gradient_;
  std::size_t dim_;
  Vector sums_;
};

class Backward {
 public:
  Backward(const plan::Operands& launch, const ReferenceKernel& kernel, const ReferenceGradients& gradients,
           const ReferenceDerivative& derivative)
      : launch_(launch),
        kernel_(kernel),
        gradients_(gradients),
        derivative_(derivative),
        scaled_of_(launch, kernel),
        k_sums_(gradients.k, launch.kv_len, kernel.head_dim),
        v_sums_(gradients.v, launch.kv_len, kernel.v_head_dim),
        sink_sums_(static_cast<std::size_t>(launch.num_heads)),
        q_(static_cast<std::size_t>(kernel.head_dim)),
        k_(q_.size()),
        q_sum_(q_.size()),
        v_(static_cast<std::size_t>(kernel.v_head_dim)),
        out_(v_.size()),
        d_out_(v_.size()),
        scaled_(static_cast<std::size_t>(launch.kv_len)),
        weights_(scaled_.size()),
        d_scores_(scaled_.size()),
        factors_(scaled_.size(), 1.0) {}

  bool run(std::span<const plan::Sequence> sequences) {
    const std::int32_t group = launch_.num_kv_heads > 0 ? launch_.num_heads / launch_.num_kv_heads : 0;
    for (const plan::Sequence& sequence : sequences) {
      for (std::int32_t kv_head = 0; kv_head < launch_.num_kv_heads; ++kv_head) {
        for (std::int32_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
          for (std::int32_t q_idx = 0; q_idx < sequence.q_len; ++q_idx) {
            if (!add_row({&sequence, h, q_idx}, kv_head)) return false;
          }
        }
        k_sums_.flush(sequence, kv_head);
        v_sums_.flush(sequence, kv_head);
      }
    }
    write_sinks();
    return true;
  }

 private:
  static plan::Sequence::Place query_of(const ReferenceRow& row) { return row.sequence->query(row.q_idx); }

  bool add_row(const ReferenceRow& row, std::int32_t kv_head) {
    std::ranges::fill(q_sum_, 0.0);
    for (Vector* of_keys : {&scaled_, &weights_, &d_scores_}) of_keys->resize(static_cast<std::size_t>(row.sequence->kv_len));
    factors_.assign(scaled_.size(), 1.0);
    if (has_weights(row)) {
      read_row(row);
      scaled_of_.compute(row, scaled_);
      weights_ = scaled_;
      if (!derivative_.score(row, weights_)) return false;
      if (derivative_.weight_factor && !derivative_.weight_factor(row, factors_)) return false;
      score_gradients(row, kv_head);
      if (!derivative_.pull_back(row, scaled_, d_scores_)) return false;
      add_products(row, kv_head);
    }
    if (gradients_.q.data != nullptr) {
      const std::int64_t offset = offset_of(gradients_.q, query_of(row), row.h);
      support::write_elements(gradients_.q.dtype, gradients_.q.data, offset, q_sum_);
    }
    return true;
  }

  // A row without a key has no weight to derive, whatever its scores are.
  bool has_weights(const ReferenceRow& row) const {
    return kernel_.weights != plan::Weights::kSoftmax || lse_of(row) != kMaskedPair;
  }

  double lse_of(const ReferenceRow& row) const {
    double lse = 0;
    support::read_elements(launch_.lse.dtype, launch_.lse.data, place_in(launch_.lse, query_of(row), row.h), {&lse, 1});
    return lse;
  }

  double d_lse_of(const ReferenceRow& row) const {
    double value = 0;
    const TensorView& view = gradients_.lse;
    if (view.data != nullptr) support::read_elements(view.dtype, view.data, offset_of(view, query_of(row), row.h), {&value, 1});
    return value;
  }

  void read_row(const ReferenceRow& row) {
    support::read_elements(kernel_.types.q, launch_.q.data, place_in(launch_.q, query_of(row), row.h), q_);
    support::read_elements(kernel_.types.out, launch_.out.data, place_in(launch_.out, query_of(row), row.h), out_);
    const TensorView& given = gradients_.out;
    if (given.data == nullptr) return;
    const std::int64_t offset = offset_of(given, query_of(row), row.h);
    if (given.strides[3] == 1) return support::read_elements(given.dtype, given.data, offset, d_out_);
    support::read_elements(given.dtype, given.data, offset, std::span(d_out_).first(1));
    std::ranges::fill(d_out_, d_out_.front());
  }

  // weights_: modified scores -> P. d_scores_: the gradients of the modified scores. Adds to those of v and of the sink.
  void score_gradients(const ReferenceRow& row, std::int32_t kv_head) {
    const bool is_given = gradients_.out.data != nullptr;
    const double delta = is_given ? dot(d_out_, out_) : 0, d_lse = d_lse_of(row);
    for (std::int32_t kv = 0; kv < row.sequence->kv_len; ++kv) {
      const auto i = static_cast<std::size_t>(kv);
      const double weight = weight_of(row, in_range(weights_[i], kernel_.types));
      weights_[i] = weight;
      d_scores_[i] = 0;
      if (weight == 0) continue;
      double d_weight = 0;
      if (is_given && factors_[i] != 0) {
        support::read_elements(kernel_.types.kv, launch_.v.data, place_in(launch_.v, row.sequence->key(kv, 1), kv_head), v_);
        d_weight = factors_[i] * dot(d_out_, v_);
        add_scaled(v_sums_.row(kv), factors_[i] * weight, d_out_);
      }
      switch (kernel_.weights) {
        case plan::Weights::kSoftmax: d_scores_[i] = weight * (d_weight - delta + d_lse); break;
        case plan::Weights::kSigmoid: d_scores_[i] = weight * (1 - weight) * d_weight; break;
        case plan::Weights::kLinear: break;  // not of scores
      }
    }
    if (launch_.sinks == nullptr) return;
    const double share = std::exp(static_cast<double>(launch_.sinks[row.h]) - lse_of(row));
    if (share != 0) sink_sums_[static_cast<std::size_t>(row.h)] += share * (d_lse - delta);
  }

  double weight_of(const ReferenceRow& row, double score) const {
    if (score == kMaskedPair) return 0;
    switch (kernel_.weights) {
      case plan::Weights::kSoftmax: return std::exp(score - lse_of(row));
      case plan::Weights::kSigmoid: return 1 / (1 + std::exp(-score));
      case plan::Weights::kLinear: break;
    }
    return 0;
  }

  // d_scores_, now of the scaled scores, times k and q.
  void add_products(const ReferenceRow& row, std::int32_t kv_head) {
    for (std::int32_t kv = 0; kv < row.sequence->kv_len; ++kv) {
      const double factor = d_scores_[static_cast<std::size_t>(kv)] * launch_.scale;
      if (factor == 0) continue;
      support::read_elements(kernel_.types.kv, launch_.k.data, place_in(launch_.k, row.sequence->key(kv, 1), kv_head), k_);
      add_scaled(q_sum_, factor, k_);
      add_scaled(k_sums_.row(kv), factor, q_);
    }
  }

  void write_sinks() {
    const MutableTensorView& view = gradients_.sinks;
    if (view.data == nullptr) return;
    for (std::size_t h = 0; h < sink_sums_.size(); ++h) {
      support::write_elements(view.dtype, view.data, static_cast<std::int64_t>(h) * view.strides[0], {&sink_sums_[h], 1});
    }
  }

  const plan::Operands& launch_;
  const ReferenceKernel& kernel_;
  const ReferenceGradients& gradients_;
  const ReferenceDerivative& derivative_;
  ReferenceScores scaled_of_;
  KeySums k_sums_, v_sums_;
  Vector sink_sums_;
  Vector q_, k_, q_sum_, v_, out_, d_out_;
  Vector scaled_, weights_, d_scores_, factors_;  // of all keys of a row
};

}  // namespace

bool reference_backward(const plan::Operands& launch, const ReferenceKernel& kernel, std::span<const plan::Sequence> sequences,
                        const ReferenceGradients& gradients, const ReferenceDerivative& derivative) {
  return Backward(launch, kernel, gradients, derivative).run(sequences);
}

}  // namespace flexjit::reference
