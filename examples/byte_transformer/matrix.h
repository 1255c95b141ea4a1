// What all layers share: matrices, parameters with their gradients, and products by the BLAS. Everything is of float to train
// and of double to check gradients, where differences would drown in the rounding of float.
#pragma once

#include <cblas.h>

#include <cstddef>
#include <random>
#include <string>
#include <utility>
#include <vector>

// Row-major; a row is a position of a text in most of them.
template <typename Real>
struct Matrix {
  int rows = 0, columns = 0;
  std::vector<Real> values;

  Matrix() = default;
  Matrix(int row_count, int column_count)
      : rows(row_count),
        columns(column_count),
        values(static_cast<std::size_t>(row_count) * static_cast<std::size_t>(column_count)) {}
  Real* row(int i) { return values.data() + static_cast<std::ptrdiff_t>(i) * columns; }
  const Real* row(int i) const { return values.data() + static_cast<std::ptrdiff_t>(i) * columns; }
};

// What is learned. Backward passes add to the gradient; the optimiser takes it and makes it 0.
template <typename Real>
struct Parameter {
  std::string name;
  Matrix<Real> value, gradient;
  std::vector<Real> mean, square;  // Adam's, of the gradient

  Parameter(std::string what, Matrix<Real> start)
      : name(std::move(what)),
        value(std::move(start)),
        gradient(value.rows, value.columns),
        mean(value.values.size()),
        square(value.values.size()) {}
};

template <typename Real>
Matrix<Real> normal_matrix(int rows, int columns, double deviation, std::mt19937& random) {
  std::normal_distribution<double> normal(0, deviation);
  Matrix<Real> matrix(rows, columns);
  for (Real& value : matrix.values) value = static_cast<Real>(normal(random));
  return matrix;
}

enum class Side { kAsIs, kTransposed };

// c = a b + beta c, with a or b transposed as said. The extents are those of c and of a's inner dimension.
template <typename Real>
void multiply(const Matrix<Real>& a, Side a_side, const Matrix<Real>& b, Side b_side, Real beta, Matrix<Real>& c) {
  const CBLAS_TRANSPOSE a_order = a_side == Side::kAsIs ? CblasNoTrans : CblasTrans;
  const CBLAS_TRANSPOSE b_order = b_side == Side::kAsIs ? CblasNoTrans : CblasTrans;
  const int inner = a_side == Side::kAsIs ? a.columns : a.rows;
  if constexpr (sizeof(Real) == sizeof(float)) {
    cblas_sgemm(CblasRowMajor, a_order, b_order, c.rows, c.columns, inner, 1, a.values.data(), a.columns, b.values.data(),
                b.columns, beta, c.values.data(), c.columns);
  } else {
    cblas_dgemm(CblasRowMajor, a_order, b_order, c.rows, c.columns, inner, 1, a.values.data(), a.columns, b.values.data(),
                b.columns, beta, c.values.data(), c.columns);
  }
}
