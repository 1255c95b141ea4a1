// Attention written down directly, in fp64, as the tests' own oracle: no code of the library.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "flexjit/flexjit.h"

namespace flexjit::test {

struct Shape {
  std::int64_t batch = 1, q_heads = 1, kv_heads = 1, q_len = 1, kv_len = 1, head_dim = 8, v_head_dim = 8;
};

struct Position {
  std::int64_t b, h, q_idx, kv_idx;
};

// Owns dense inputs and outputs of one shape, the inputs normal by seed, the outputs a value that no result has.
class Problem {
 public:
  explicit Problem(const Shape& s, unsigned seed = 1)
      : shape(s),
        q(normal(s.batch * s.q_heads * s.q_len * s.head_dim, seed)),
        k(normal(s.batch * s.kv_heads * s.kv_len * s.head_dim, seed + 1)),
        v(normal(s.batch * s.kv_heads * s.kv_len * s.v_head_dim, seed + 2)),
        out(static_cast<std::size_t>(s.batch * s.q_heads * s.q_len * s.v_head_dim), kUnwritten),
        lse(static_cast<std::size_t>(s.batch * s.q_heads * s.q_len), kUnwritten) {}

  static constexpr float kUnwritten = -12345.0F;

  RunArgs args() {
    const Shape& s = shape;
    return {.q = TensorView(q.data(), DType::kF32, {s.batch, s.q_heads, s.q_len, s.head_dim}),
            .k = TensorView(k.data(), DType::kF32, {s.batch, s.kv_heads, s.kv_len, s.head_dim}),
            .v = TensorView(v.data(), DType::kF32, {s.batch, s.kv_heads, s.kv_len, s.v_head_dim}),
            .out = MutableTensorView(out.data(), DType::kF32, {s.batch, s.q_heads, s.q_len, s.v_head_dim}),
            .lse = MutableTensorView(lse.data(), DType::kF32, {s.batch, s.q_heads, s.q_len})};
  }

  Shape shape;
  std::vector<float> q, k, v, out, lse;

 private:
  static std::vector<float> normal(std::int64_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> distribution;
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) value = distribution(random);
    return values;
  }
};

using ScoreMod = std::function<double(double score, const Position&)>;
using MaskMod = std::function<bool(const Position&)>;

struct Pattern {
  ScoreMod score = [](double scaled, const Position&) { return scaled; };
  MaskMod mask = [](const Position&) { return true; };
};

// One row: its weights sum to 1; output and lse.
struct Row {
  std::vector<double> out;
  double lse = 0;
};

inline Row naive_row(const Problem& problem, const Pattern& pattern, const Position& row) {
  const Shape& s = problem.shape;
  const std::int64_t kv_head = row.h / (s.q_heads / s.kv_heads);
  const float* q = &problem.q[static_cast<std::size_t>(((row.b * s.q_heads + row.h) * s.q_len + row.q_idx) * s.head_dim)];
  double sum = 0, largest = -std::numeric_limits<double>::infinity();
  std::vector<double> scores;
  for (std::int64_t j = 0; j < s.kv_len; ++j) {
    const auto key = static_cast<std::size_t>((row.b * s.kv_heads + kv_head) * s.kv_len + j);
    double dot = 0;
    for (std::int64_t d = 0; d < s.head_dim; ++d) {
      dot += double{q[d]} * problem.k[key * static_cast<std::size_t>(s.head_dim) + static_cast<std::size_t>(d)];
    }
    const Position position{row.b, row.h, row.q_idx, j};
    const double score = pattern.score(dot / std::sqrt(static_cast<double>(s.head_dim)), position);
    scores.push_back(pattern.mask(position) ? score : -std::numeric_limits<double>::infinity());
    largest = std::max(largest, scores.back());
  }
  Row result{std::vector<double>(static_cast<std::size_t>(s.v_head_dim), 0.0), -std::numeric_limits<double>::infinity()};
  if (std::isinf(largest)) return result;
  for (double score : scores) sum += std::exp(score - largest);
  result.lse = largest + std::log(sum);
  for (std::int64_t j = 0; j < s.kv_len; ++j) {
    const auto key = static_cast<std::size_t>((row.b * s.kv_heads + kv_head) * s.kv_len + j);
    const double weight = std::exp(scores[static_cast<std::size_t>(j)] - result.lse);
    for (std::size_t d = 0; d < result.out.size(); ++d) result.out[d] += weight * problem.v[key * result.out.size() + d];
  }
  return result;
}

// The largest difference of `problem`'s out and lse from the naive result, relative to 1 + |expected|.
inline double worst_error(const Problem& problem, const Pattern& pattern) {
  const Shape& s = problem.shape;
  double worst = 0;
  const auto compare = [&](double seen, double expected) {
    if (seen == expected) return;  // infinities
    const double error = std::abs(seen - expected) / (1 + std::abs(expected));
    worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
  };
  for (std::int64_t row = 0; row < s.batch * s.q_heads * s.q_len; ++row) {
    const Position position{row / (s.q_heads * s.q_len), row / s.q_len % s.q_heads, row % s.q_len, 0};
    const Row expected = naive_row(problem, pattern, position);
    const auto at = static_cast<std::size_t>(row);
    compare(problem.lse[at], expected.lse);
    for (std::size_t d = 0; d < expected.out.size(); ++d) compare(problem.out[at * expected.out.size() + d], expected.out[d]);
  }
  return worst;
}

inline constexpr double kTolerance = 1e-5;

}  // namespace flexjit::test
