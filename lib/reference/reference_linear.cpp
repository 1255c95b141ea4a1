// Features of all keys of a sequence and head first, then one query after the other. Shares nothing with the kernel.
#include "reference/reference_linear.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "support/elements.h"

namespace flexjit::reference {

namespace {

class LinearRows {
 public:
  LinearRows(const plan::Operands& launch, const ReferenceKernel& kernel, const LinearReference& linear)
      : launch_(launch),
        kernel_(kernel),
        linear_(linear),
        row_(static_cast<std::size_t>(kernel.head_dim)),
        v_(static_cast<std::size_t>(kernel.v_head_dim)),
        q_features_(static_cast<std::size_t>(linear.features)) {}

  // Features and gates of the keys that queries of this row's sequence and head meet.
  bool start(const ReferenceRow& of) {
    const auto keys = static_cast<std::size_t>(of.sequence->kv_len);
    k_features_.assign(keys * q_features_.size(), 0);
    gates_.assign(keys, 1);
    weights_.assign(keys, 0);
    for (std::size_t kv = 0; kv < keys; ++kv) {
      support::read_elements(kernel_.types.kv, launch_.k.data, key_offset(launch_.k, of, kv), row_);
      if (!linear_.map(of, row_, features_of(kv))) return false;
    }
    return keys == 0 || !linear_.gates || linear_.gates(of, gates_);
  }

  bool attend(const ReferenceRow& row) {
    const plan::Sequence::Place place = row.sequence->query(row.q_idx);
    support::read_elements(kernel_.types.q, launch_.q.data, launch_.q.offset_of(place.batch, row.h, place.row), row_);
    if (!linear_.map(row, row_, q_features_)) return false;
    for (std::size_t kv = 0; kv < weights_.size(); ++kv) {
      const std::span<const double> key = features_of(kv);
      weights_[kv] = 0;
      for (std::size_t f = 0; f < key.size(); ++f) weights_[kv] += q_features_[f] * key[f];
    }
    if (linear_.gates) fade(row);
    if (!linear_.mask(row, weights_)) return false;
    const std::vector<double> out = weighted_values(row);
    support::write_elements(kernel_.types.out, launch_.out.data, launch_.out.offset_of(place.batch, row.h, place.row), out);
    return true;
  }

 private:
  std::span<double> features_of(std::size_t kv) {
    return std::span(k_features_).subspan(kv * q_features_.size(), q_features_.size());
  }

  std::int64_t key_offset(const plan::TensorArg& tensor, const ReferenceRow& row, std::size_t kv) const {
    const auto [batch, key_row] = row.sequence->key(static_cast<std::int32_t>(kv), launch_.page_size);
    return tensor.offset_of(batch, row.h / (launch_.num_heads / launch_.num_kv_heads), key_row);
  }

  void fade(const ReferenceRow& row) {
    double since = 1;
    for (std::int32_t kv = linear_.last_key(row); kv >= 0; --kv) {
      weights_[static_cast<std::size_t>(kv)] *= since;
      since *= gates_[static_cast<std::size_t>(kv)];
    }
  }

  std::vector<double> weighted_values(const ReferenceRow& row) {
    std::vector<double> sums(v_.size());
    double sum = 0;
    for (std::size_t kv = 0; kv < weights_.size(); ++kv) {
      if (weights_[kv] == -std::numeric_limits<double>::infinity() || weights_[kv] == 0) continue;
      support::read_elements(kernel_.types.kv, launch_.v.data, key_offset(launch_.v, row, kv), v_);
      for (std::size_t d = 0; d < sums.size(); ++d) sums[d] += weights_[kv] * v_[d];
      sum += weights_[kv];
    }
    for (double& element : sums)
      if (linear_.normalised) element /= std::max(sum, linear_.eps);
    return sums;
  }

  const plan::Operands& launch_;
  const ReferenceKernel& kernel_;
  const LinearReference& linear_;
  std::vector<double> row_, v_, q_features_, k_features_, gates_, weights_;
};

}  // namespace

bool reference_linear(const plan::Operands& launch, const ReferenceKernel& kernel, const ReferenceQueries& queries,
                      const LinearReference& linear) {
  LinearRows rows(launch, kernel, linear);
  for (const plan::Sequence& sequence : queries.sequences) {
    const std::int32_t end = queries.begin + std::min(queries.count, sequence.q_len - queries.begin);
    for (std::int32_t h = 0; h < launch.num_heads; ++h) {
      if (queries.begin < end && !rows.start({&sequence, h, 0})) return false;
      for (std::int32_t q_idx = queries.begin; q_idx < end; ++q_idx)
        if (!rows.attend({&sequence, h, q_idx})) return false;
    }
  }
  return true;
}

}  // namespace flexjit::reference
