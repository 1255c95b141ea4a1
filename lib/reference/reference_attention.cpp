// out = weights(pattern(scale * q k^T)) v in fp64, row by row, exactly as it is written down. Shares nothing with the kernel.
#include "reference/reference_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "support/dtype.h"
#include "support/elements.h"

namespace flexjit::reference {

namespace {

constexpr double kMasked = -std::numeric_limits<double>::infinity();

// In elements.
std::int64_t offset_of(const plan::TensorArg& tensor, const plan::Sequence::Place& place, std::int32_t head) {
  return tensor.offset_of(place.batch, head, place.row);
}

std::int32_t kv_head_of(const plan::Operands& launch, const ReferenceRow& row) {
  return row.h / (launch.num_heads / launch.num_kv_heads);
}

void write(const plan::RowArg& rows, const ReferenceRow& row, double value) {
  const plan::Sequence::Place place = row.sequence->query(row.q_idx);
  if (float* at = rows.at(place.batch, row.h, place.row)) *at = static_cast<float>(value);
}

void write(const plan::LseArg& rows, const ReferenceRow& row, double value) {
  const plan::Sequence::Place place = row.sequence->query(row.q_idx);
  if (rows.data != nullptr)
    support::write_elements(rows.dtype, rows.data, rows.offset_of(place.batch, row.h, place.row), {&value, 1});
}

// Turns scores into weights that sum to 1, less the share of the sink. No allowed key: weights 0, and the sink is all there is.
// A NaN or +inf score makes every weight NaN, as exp(inf - inf) does on paper.
RowSummary softmax(std::span<double> scores, double sink) {
  RowSummary summary{kMasked, kMasked};
  bool all_masked = true;
  for (double score : scores) {
    summary.max_score = std::max(summary.max_score, score);
    all_masked = all_masked && score == kMasked;
  }
  if (all_masked) {
    std::ranges::fill(scores, 0.0);
    summary.lse = sink;
    return summary;
  }
  const double highest = std::max(summary.max_score, sink);
  double sum = sink == kMasked ? 0 : std::exp(sink - highest);
  for (double& score : scores) {
    score = std::exp(score - highest);
    sum += score;
  }
  for (double& score : scores) score /= sum;
  summary.lse = highest + std::log(sum);
  return summary;
}

void sigmoid(std::span<double> scores) {
  for (double& score : scores) score = 1 / (1 + std::exp(-score));
}

// A row of quantised keys or values stands for its elements times their scales, which are `by_group` apart.
void apply_scales(const float* scales, std::int64_t by_group, const ReferenceKernel& kernel, std::span<double> row) {
  if (!support::is_quantised(kernel.types.kv)) return;
  const std::size_t dims = kernel.types.scale_dims == 0 ? row.size() : static_cast<std::size_t>(kernel.types.scale_dims);
  for (std::size_t d = 0; d < row.size(); ++d)
    row[d] *= static_cast<double>(scales[static_cast<std::int64_t>(d / dims) * by_group]);
}

class Reference {
 public:
  Reference(const plan::Operands& launch, const ReferenceKernel& kernel)
      : launch_(launch),
        kernel_(kernel),
        scaled_(launch, kernel),
        v_(static_cast<std::size_t>(kernel.v_head_dim)),
        sums_(v_.size()),
        scores_(static_cast<std::size_t>(launch.kv_len)),
        factors_(scores_.size()) {}

  bool attend(const ReferenceRow& row, const ReferencePattern& pattern, const ReferenceFactors& factors) {
    const std::span<double> scores = std::span(scores_).first(static_cast<std::size_t>(row.sequence->kv_len));
    scaled_.compute(row, scores);
    if (!pattern(row, scores)) return false;
    for (double& score : scores) score = in_range(score, kernel_.types);
    const RowSummary summary = to_weights(kernel_.weights, scores, sink_of(launch_, row.h));
    switch (kernel_.weights) {
      case plan::Weights::kSoftmax:
        write(launch_.lse, row, summary.lse);
        write(launch_.max_scores, row, summary.max_score);
        break;
      case plan::Weights::kSigmoid:
      case plan::Weights::kLinear: break;
    }
    if (factors) {
      const std::span<double> of_row = std::span(factors_).first(scores.size());
      if (!factors(row, of_row)) return false;
      for (std::size_t kv = 0; kv < scores.size(); ++kv) scores[kv] = of_row[kv] == 0 ? 0 : scores[kv] * of_row[kv];
    }
    weighted_values(row);
    return true;
  }

 private:
  // Of fp64 values a sum may pass the largest on its way to a result that is finite or of the other sign.
  void weighted_values(const ReferenceRow& row) {
    if (!add_weighted<double>(row)) add_weighted<long double>(row);
    const std::int64_t offset = offset_of(launch_.out, row.sequence->query(row.q_idx), row.h);
    support::write_elements(kernel_.types.out, launch_.out.data, offset, sums_);
  }

  // A weight of 0 takes no part, so a masked key contributes nothing whatever its value row holds. Whether all sums are finite.
  template <typename Sum>
  bool add_weighted(const ReferenceRow& row) {
    std::vector<Sum> sums(sums_.size());
    for (std::int32_t kv = 0; kv < row.sequence->kv_len; ++kv) {
      const Sum weight = scores_[static_cast<std::size_t>(kv)];
      if (weight == 0) continue;
      const std::int64_t offset = offset_of(launch_.v, row.sequence->key(kv, launch_.page_size), kv_head_of(launch_, row));
      support::read_elements(kernel_.types.kv, launch_.v.data, offset, v_);
      const auto [batch, key_row] = row.sequence->key(kv, launch_.page_size);
      apply_scales(launch_.v_scales.at(batch, kv_head_of(launch_, row), key_row), launch_.v_scales.stride_group, kernel_, v_);
      for (std::size_t d = 0; d < sums.size(); ++d) sums[d] += weight * static_cast<Sum>(v_[d]);
    }
    std::ranges::transform(sums, sums_.begin(), [](Sum sum) { return static_cast<double>(sum); });
    return std::ranges::all_of(sums_, [](double sum) { return std::isfinite(sum); });
  }

  const plan::Operands& launch_;
  const ReferenceKernel& kernel_;
  ReferenceScores scaled_;
  std::vector<double> v_, sums_, scores_, factors_;
};

}  // namespace

double in_range(double score, const plan::ElementTypes& types) {
  constexpr double kBeyond = 0x1.ffffffp127;  // from here on the nearest fp32 is infinite
  if (types.q == DType::kF64 || std::abs(score) < kBeyond || std::isnan(score)) return score;
  return std::copysign(std::numeric_limits<double>::infinity(), score);
}

ReferenceScores::ReferenceScores(const plan::Operands& launch, const ReferenceKernel& kernel)
    : launch_(launch), kernel_(kernel), q_(static_cast<std::size_t>(kernel.head_dim)), k_(q_.size()) {}

// As a query tensor that holds rotated rows would be read.
void ReferenceScores::rotate(const plan::RotaryArg& rotary, std::int64_t position) {
  const auto pairs = static_cast<std::size_t>(rotary.dim / 2);
  std::vector<double> cos(pairs), sin(pairs);
  support::read_elements(rotary.dtype, rotary.cos, position * rotary.cos_stride, cos);
  support::read_elements(rotary.dtype, rotary.sin, position * rotary.sin_stride, sin);
  const bool interleaved = rotary.pairing == plan::RotaryArg::Pairing::kInterleaved;
  for (std::size_t j = 0; j < pairs; ++j) {
    double &x = q_[interleaved ? 2 * j : j], &y = q_[interleaved ? 2 * j + 1 : j + pairs];
    const double turned = x * cos[j] - y * sin[j];
    y = y * cos[j] + x * sin[j];
    x = turned;
  }
  std::vector<std::uint64_t> rounded(q_.size());  // room for any element type
  support::write_elements(kernel_.types.q, rounded.data(), 0, q_);
  support::read_elements(kernel_.types.q, rounded.data(), 0, q_);
}

void ReferenceScores::compute(const ReferenceRow& row, std::span<double> scores) {
  const plan::Sequence& of = *row.sequence;
  if (of.kv_len == 0) return;
  support::read_elements(kernel_.types.q, launch_.q.data, offset_of(launch_.q, of.query(row.q_idx), row.h), q_);
  if (launch_.rotary.cos != nullptr) rotate(launch_.rotary, of.rotary_position(row.q_idx, launch_.rotary));
  for (std::int32_t kv = 0; kv < of.kv_len; ++kv) {
    if (of.is_hole(kv, launch_.page_size)) {
      scores[static_cast<std::size_t>(kv)] = 0;
      continue;
    }
    const std::int64_t offset = offset_of(launch_.k, of.key(kv, launch_.page_size), kv_head_of(launch_, row));
    support::read_elements(kernel_.types.kv, launch_.k.data, offset, k_);
    const auto [batch, key_row] = of.key(kv, launch_.page_size);
    apply_scales(launch_.k_scales.at(batch, kv_head_of(launch_, row), key_row), launch_.k_scales.stride_group, kernel_, k_);
    double dot = 0;
    for (std::size_t d = 0; d < q_.size(); ++d) dot += q_[d] * k_[d];
    scores[static_cast<std::size_t>(kv)] = in_range(dot * static_cast<double>(launch_.scale), kernel_.types);
  }
}

RowSummary to_weights(plan::Weights weights, std::span<double> scores, double sink) {
  switch (weights) {
    case plan::Weights::kSoftmax: return softmax(scores, sink);
    case plan::Weights::kSigmoid: sigmoid(scores); break;
    case plan::Weights::kLinear: break;  // not of scores
  }
  return {kMasked, kMasked};
}

double sink_of(const plan::Operands& launch, std::int32_t h) {
  return launch.sinks != nullptr ? static_cast<double>(launch.sinks[h]) : kMasked;
}

bool reference_attention(const plan::Operands& launch, const ReferenceKernel& kernel, const ReferenceQueries& queries,
                         const ReferencePattern& pattern, const ReferenceFactors& factors) {
  Reference reference(launch, kernel);
  for (const plan::Sequence& sequence : queries.sequences) {
    const std::int32_t end = queries.begin + std::min(queries.count, sequence.q_len - queries.begin);
    for (std::int32_t h = 0; h < launch.num_heads; ++h) {
      for (std::int32_t q_idx = queries.begin; q_idx < end; ++q_idx) {
        if (!reference.attend({&sequence, h, q_idx}, pattern, factors)) return false;
      }
    }
  }
  return true;
}

}  // namespace flexjit::reference
