// oracle_gradients of gradients.h: P, dP, delta and dS of each row as they stand on paper, over the whole row at once.
#include <cmath>
#include <limits>

#include "support/encodings.h"
#include "support/gradients.h"
#include "support/oracle_arithmetic.h"

namespace flexjit::test {
namespace {

// What a number is moved by to see a derivative: the error of a central difference is some 1e-12 of it.
Real step_of(Real value) { return 1e-6L * (1 + std::abs(value)); }

class GradientOracle {
 public:
  GradientOracle(const BackwardProblem& problem, const GradientPattern& pattern, std::optional<DType> low)
      : shape_(problem.forward.shape),
        problem_(problem),
        pattern_(pattern),
        math_{low},
        scale_(pattern.pattern.scale ? Real{*pattern.pattern.scale} : 1 / std::sqrt(static_cast<Real>(shape_.head_dim))),
        q_(problem.forward.q.values()),
        k_(problem.forward.k.values()),
        v_(problem.forward.v.values()),
        d_out_(problem.d_out.values()),
        dq_(q_.size()),
        dk_(k_.size()),
        dv_(v_.size()),
        d_sinks_(pattern.pattern.sinks.size()),
        keys_(static_cast<std::size_t>(shape_.kv_len)) {
    for (const auto& [name, buffer] : pattern.buffers) d_buffers_[name].resize(buffer->size());
  }

  GradientValues run() {
    for (std::int32_t b = 0; b < shape_.batch; ++b) {
      for (std::int32_t h = 0; h < shape_.q_heads; ++h) {
        for (std::int32_t q_idx = 0; q_idx < shape_.q_len; ++q_idx) add_row({b, h, q_idx, 0});
      }
    }
    GradientValues values{rounded(dq_), rounded(dk_), rounded(dv_), rounded(d_sinks_), {}};
    for (const auto& [name, sums] : d_buffers_) values.buffers[name] = rounded(sums);
    return values;
  }

 private:
  // One key of the row at hand.
  struct Key {
    bool allowed = false;
    Real scaled = 0, modified = 0, weight = 0, d_modified = 0, factor = 1;
  };

  std::vector<double> rounded(const std::vector<Real>& sums) const {
    std::vector<double> values;
    for (const Real sum : sums) values.push_back(static_cast<double>(math_.result(sum)));
    return values;
  }

  std::size_t q_row(const Position& p) const {
    return static_cast<std::size_t>((std::int64_t{p.b} * shape_.q_heads + p.h) * shape_.q_len + p.q_idx);
  }
  std::size_t key_row(const Position& p) const {
    const std::int64_t kv_head = p.h / (shape_.q_heads / shape_.kv_heads);
    return static_cast<std::size_t>((std::int64_t{p.b} * shape_.kv_heads + kv_head) * shape_.kv_len + p.kv_idx);
  }
  std::size_t dim() const { return static_cast<std::size_t>(shape_.head_dim); }
  std::size_t value_dim() const { return static_cast<std::size_t>(shape_.value_dim()); }

  Real modified(Real score, const Position& p) const {
    return pattern_.pattern.score ? pattern_.pattern.score(score, p) : score;
  }

  void score_keys(Position p) {
    for (p.kv_idx = 0; p.kv_idx < shape_.kv_len; ++p.kv_idx) {
      Key& key = keys_[static_cast<std::size_t>(p.kv_idx)];
      key = {.allowed = !pattern_.pattern.mask || pattern_.pattern.mask(p), .modified = kMasked};
      if (!key.allowed) continue;
      for (std::size_t d = 0; d < dim(); ++d) {
        key.scaled = math_.sum(key.scaled + Real{q_[q_row(p) * dim() + d]} * Real{k_[key_row(p) * dim() + d]});
      }
      key.scaled = math_.result(key.scaled * scale_);
      if (pattern_.pattern.factor) key.factor = pattern_.pattern.factor(p);
      key.modified = math_.result(modified(key.scaled, p));
    }
  }

  // The weights of the row, and what its sink has of them.
  Real weigh(const Position& p) {
    const bool softmax = pattern_.pattern.weights == Weights::kSoftmax;
    const Real sink = d_sinks_.empty() ? kMasked : Real{pattern_.pattern.sinks.at(static_cast<std::size_t>(p.h))};
    Real highest = sink;
    for (const Key& key : keys_) highest = std::max(highest, key.modified);
    Real sum = sink == kMasked ? 0 : std::exp(sink - highest);
    for (const Key& key : keys_) sum += key.modified == kMasked ? 0 : std::exp(key.modified - highest);
    for (Key& key : keys_) {
      key.weight = 0;
      if (key.modified == kMasked) continue;
      key.weight = math_.result(softmax ? std::exp(key.modified - highest) / sum : 1 / (1 + std::exp(-key.modified)));
    }
    return sink == kMasked ? 0 : std::exp(sink - highest) / sum;
  }

  Real d_weight(const Position& p) const {
    if (!pattern_.has_out) return 0;
    Real dot = 0;
    for (std::size_t d = 0; d < value_dim(); ++d) {
      dot = math_.sum(dot + Real{d_out_[q_row(p) * value_dim() + d]} * Real{v_[key_row(p) * value_dim() + d]});
    }
    return math_.result(dot);
  }

  // What arithmetic that keeps a rounded output has in the place of the sum of P dP.
  Real delta_of_rounded(Position p) const {
    if (!pattern_.has_out) return 0;
    Real delta = 0;
    for (std::size_t d = 0; d < value_dim(); ++d) {
      Real out = 0;
      for (p.kv_idx = 0; p.kv_idx < shape_.kv_len; ++p.kv_idx) {
        const Key& key = keys_[static_cast<std::size_t>(p.kv_idx)];
        if (key.weight != 0) out = math_.sum(out + key.weight * Real{v_[key_row(p) * value_dim() + d]});
      }
      delta = math_.sum(delta + Real{d_out_[q_row(p) * value_dim() + d]} * math_.result(out));
    }
    return delta;
  }

  void add_row(Position p) {
    score_keys(p);
    const Real sink_share = weigh(p);
    Real delta = 0;
    const Real d_lse = pattern_.has_lse ? Real{problem_.d_lse[q_row(p)]} : 0;
    for (p.kv_idx = 0; p.kv_idx < shape_.kv_len; ++p.kv_idx) {
      Key& key = keys_[static_cast<std::size_t>(p.kv_idx)];
      if (key.weight == 0) continue;
      key.d_modified = key.factor == 0 ? 0 : key.factor * d_weight(p);
      delta += key.weight * key.d_modified;
    }
    if (math_.low) delta = delta_of_rounded(p);
    if (!d_sinks_.empty()) d_sinks_[static_cast<std::size_t>(p.h)] += sink_share * (d_lse - delta);
    for (p.kv_idx = 0; p.kv_idx < shape_.kv_len; ++p.kv_idx) {
      Key& key = keys_[static_cast<std::size_t>(p.kv_idx)];
      if (key.weight == 0) continue;
      const bool softmax = pattern_.pattern.weights == Weights::kSoftmax;
      const Real factor = softmax ? key.d_modified - delta + d_lse : (1 - key.weight) * key.d_modified;
      key.d_modified = math_.result(key.weight * factor);
      add_key(p, key);
    }
  }

  void add_key(const Position& p, const Key& key) {
    const std::size_t q = q_row(p), k = key_row(p);
    if (pattern_.has_out) {
      for (std::size_t d = 0; d < value_dim(); ++d) {
        Real& sum = dv_[k * value_dim() + d];
        sum = math_.sum(sum + key.factor * key.weight * Real{d_out_[q * value_dim() + d]});
      }
    }
    for (const auto& [name, buffer] : pattern_.buffers) add_buffer(d_buffers_.at(name), *buffer, key, p);
    const Real step = step_of(key.scaled);
    const Real slope = (modified(key.scaled + step, p) - modified(key.scaled - step, p)) / (2 * step);
    const Real d_scaled = math_.result(key.d_modified * slope) * scale_;
    for (std::size_t d = 0; d < dim(); ++d) {
      Real &to_q = dq_[q * dim() + d], &to_k = dk_[k * dim() + d];
      to_q = math_.sum(to_q + d_scaled * Real{k_[k * dim() + d]});
      to_k = math_.sum(to_k + d_scaled * Real{q_[q * dim() + d]});
    }
  }

  void add_buffer(std::vector<Real>& sums, std::vector<Real>& buffer, const Key& key, const Position& p) const {
    for (std::size_t i = 0; i < buffer.size(); ++i) {
      const Real original = buffer[i], step = step_of(original);
      buffer[i] = original + step;
      const Real above = modified(key.scaled, p);
      buffer[i] = original - step;
      const Real below = modified(key.scaled, p);
      buffer[i] = original;
      sums[i] += key.d_modified * (above - below) / (2 * step);
    }
  }

  const Shape shape_;
  const BackwardProblem& problem_;
  const GradientPattern& pattern_;
  Arithmetic math_;
  Real scale_;
  std::vector<double> q_, k_, v_, d_out_;
  std::vector<Real> dq_, dk_, dv_, d_sinks_;
  std::map<std::string, std::vector<Real>> d_buffers_;
  std::vector<Key> keys_;
};

}  // namespace

GradientValues oracle_gradients(const BackwardProblem& problem, const GradientPattern& pattern, std::optional<DType> low) {
  return GradientOracle(problem, pattern, low).run();
}

}  // namespace flexjit::test
