// Random features: normal numbers and Gram and Schmidt's process, which is the QR with a positive diagonal.
#include "flexjit/variants.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "diagnostics/guard.h"
#include "diagnostics/report.h"
#include "pattern/pattern.h"
#include "plan/sizes/linear.h"
#include "variants/options.h"
#include "variants/random.h"

namespace flexjit {

namespace {

using MatrixRow = std::span<double>;

double product_of(MatrixRow a, MatrixRow b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

void scale_row(MatrixRow row, double factor) {
  for (double& x : row) x *= factor;
}

// Rows of one block, each at a right angle to those before it and of length 1. Twice, because once leaves rounding behind.
void make_orthonormal(std::span<double> block, std::size_t dims) {
  for (std::size_t r = 0; r < block.size() / dims; ++r) {
    const MatrixRow row = block.subspan(r * dims, dims);
    for (int pass = 0; pass < 2; ++pass) {
      for (std::size_t other = 0; other < r; ++other) {
        const MatrixRow before = block.subspan(other * dims, dims);
        const double along = product_of(row, before);
        for (std::size_t d = 0; d < dims; ++d) row[d] -= along * before[d];
      }
      scale_row(row, 1 / std::sqrt(product_of(row, row)));
    }
  }
}

}  // namespace

Result<std::vector<float>> random_features(const RandomFeatures& of) {
  return engine::guarded("random_features", [&]() -> Result<std::vector<float>> {
    engine::Report report("random_features");
    variants::check_range(report, "features", of.features, {1, plan::kMaxFeatures});
    variants::check_range(report, "head_dim", of.head_dim, {1, engine::kMaxHeadDim});
    if (!report.empty()) return report.take();
    const auto rows = static_cast<std::size_t>(of.features), dims = static_cast<std::size_t>(of.head_dim);
    variants::RandomNumbers numbers(of.seed);
    std::vector<double> matrix(rows * dims);
    for (double& x : matrix) x = numbers.normal();
    const std::span<double> all(matrix);
    for (std::size_t begin = 0; of.orthogonal && begin < rows; begin += dims)
      make_orthonormal(all.subspan(begin * dims, std::min(dims, rows - begin) * dims), dims);
    for (std::size_t r = 0; r < rows; ++r) {
      const MatrixRow row = all.subspan(r * dims, dims);
      double squares = 0;  // of other normal numbers
      for (std::size_t d = 0; d < dims; ++d) {
        const double x = numbers.normal();
        squares += x * x;
      }
      const double length = std::sqrt(product_of(row, row));
      if (of.lengths == RowLengths::kRoot) scale_row(row, std::sqrt(static_cast<double>(dims)) / length);
      if (of.lengths == RowLengths::kChi && of.orthogonal) scale_row(row, std::sqrt(squares) / length);
    }
    return std::vector<float>(matrix.begin(), matrix.end());
  });
}

AttentionSpec performer(const PerformerOptions& options) {
  AttentionSpec spec;
  spec.buffers = {{.name = "W", .dtype = DType::kF32, .rank = 2}};
  spec.head_dim = options.head_dim;
  spec.causal = options.causal;
  spec.weights = Weights::kLinear;
  spec.linear.feature_map = fmt::format("favor(W, {})", options.eps);
  spec.linear.features = options.features;
  return spec;
}

}  // namespace flexjit
