// See linear_oracle.h.
#include "support/linear_oracle.h"

#include <algorithm>
#include <cmath>

namespace flexjit::test {
namespace {

std::vector<Real> reals_of_row(const std::vector<double>& tensor, std::int64_t row, std::int32_t dim) {
  const auto* begin = tensor.data() + row * dim;
  return {begin, begin + dim};
}

Real dot(const std::vector<Real>& a, const std::vector<Real>& b) {
  Real sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

FeatureMap each(Real (*of)(Real)) {
  return [of](const std::vector<Real>& row, std::int32_t) {
    std::vector<Real> features = row;
    std::ranges::transform(features, features.begin(), of);
    return features;
  };
}

}  // namespace

std::vector<double> linear_oracle(const Problem& problem, const LinearOracle& of) {
  const Shape& s = problem.shape;
  const std::vector<double> q = problem.q.values(), k = problem.k.values(), v = problem.v.values();
  std::vector<double> out;
  for (std::int32_t b = 0; b < s.batch; ++b) {
    for (std::int32_t h = 0; h < s.q_heads; ++h) {
      const std::int64_t first = (std::int64_t{b} * s.kv_heads + h / (s.q_heads / s.kv_heads)) * s.kv_len;
      std::vector<std::vector<Real>> keys;
      for (std::int32_t j = 0; j < s.kv_len; ++j) keys.push_back(of.map(reals_of_row(k, first + j, s.head_dim), h));
      for (std::int32_t i = 0; i < s.q_len; ++i) {
        const std::vector<Real> query = of.map(reals_of_row(q, (std::int64_t{b} * s.q_heads + h) * s.q_len + i, s.head_dim), h);
        std::vector<Real> sums(static_cast<std::size_t>(s.value_dim()), 0);
        Real total = 0, since = 1;
        for (std::int32_t j = of.gate ? std::min(i + of.diagonal, s.kv_len - 1) : s.kv_len - 1; j >= 0; --j) {
          const Position p{b, h, i, j};
          const Real weight = !of.mask || of.mask(p) ? dot(query, keys[static_cast<std::size_t>(j)]) * since : 0;
          if (of.gate) since *= of.gate(p);
          if (weight == 0) continue;
          const std::vector<Real> value = reals_of_row(v, first + j, s.value_dim());
          for (std::size_t d = 0; d < sums.size(); ++d) sums[d] += weight * value[d];
          total += weight;
        }
        for (const Real sum : sums)
          out.push_back(static_cast<double>(of.normalised ? sum / std::max<Real>(total, of.eps) : sum));
      }
    }
  }
  return out;
}

FeatureMap elu1_map() {
  return each([](Real x) { return x > 0 ? x + 1 : std::exp(x); });
}

FeatureMap relu_map(double eps) {
  return [eps](const std::vector<Real>& row, std::int32_t) {
    std::vector<Real> features;
    for (const Real x : row) features.push_back((x > 0 ? x : 0) + eps);
    return features;
  };
}

FeatureMap identity_map() {
  return each([](Real x) { return x; });
}

FeatureMap favor_map(const Matrix& w, double eps) {
  return [w, eps](const std::vector<Real>& row, std::int32_t) {
    std::vector<Real> scaled, features;
    for (const Real x : row) scaled.push_back(x * std::pow(static_cast<Real>(row.size()), Real{-0.25}));
    for (const std::vector<Real>& of_feature : w)
      features.push_back((std::exp(dot(of_feature, scaled) - dot(scaled, scaled) / 2) + eps) /
                         std::sqrt(static_cast<Real>(w.size())));
    return features;
  };
}

FeatureMap exp_clamp_map(const Matrix& w, double low, double high) {
  return [w, low, high](const std::vector<Real>& row, std::int32_t) {
    std::vector<Real> features;
    for (const std::vector<Real>& of_feature : w)
      features.push_back(
          std::exp(std::clamp<Real>(dot(of_feature, row) / std::sqrt(static_cast<Real>(row.size())), low, high)));
    return features;
  };
}

}  // namespace flexjit::test
