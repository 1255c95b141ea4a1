// The layers of layers.h, their gradients by hand.
#include "layers.h"

#include <algorithm>
#include <cmath>

template <typename Real>
Linear<Real>::Linear(const std::string& name, int inputs, int outputs, double gain, std::mt19937& random)
    : weight(name, normal_matrix<Real>(inputs, outputs, gain / std::sqrt(inputs), random)) {}

template <typename Real>
Matrix<Real> Linear<Real>::forward(const Matrix<Real>& x) const {
  Matrix<Real> y(x.rows, weight.value.columns);
  multiply(x, Side::kAsIs, weight.value, Side::kAsIs, Real{0}, y);
  return y;
}

template <typename Real>
Matrix<Real> Linear<Real>::backward(const Matrix<Real>& x, const Matrix<Real>& d_y) {
  multiply(x, Side::kTransposed, d_y, Side::kAsIs, Real{1}, weight.gradient);
  Matrix<Real> d_x(x.rows, x.columns);
  multiply(d_y, Side::kAsIs, weight.value, Side::kTransposed, Real{0}, d_x);
  return d_x;
}

template <typename Real>
static Real inverse_rms(const Real* row, int width) {
  Real sum = 0;
  for (int i = 0; i < width; ++i) sum += row[i] * row[i];
  return 1 / std::sqrt(sum / static_cast<Real>(width) + Real{1e-5F});
}

template <typename Real>
RmsNorm<Real>::RmsNorm(const std::string& name, int width) : gain(name, Matrix<Real>(1, width)) {
  std::fill(gain.value.values.begin(), gain.value.values.end(), Real{1});
}

template <typename Real>
Matrix<Real> RmsNorm<Real>::forward(const Matrix<Real>& x) const {
  Matrix<Real> y(x.rows, x.columns);
  for (int r = 0; r < x.rows; ++r) {
    const Real scale = inverse_rms(x.row(r), x.columns);
    for (int i = 0; i < x.columns; ++i) y.row(r)[i] = gain.value.values[static_cast<std::size_t>(i)] * x.row(r)[i] * scale;
  }
  return y;
}

// With s = 1 / rms(x) and g the gradient by x s, which is gain * d_y: d_x = s (g - x s^2 mean(g x)).
template <typename Real>
Matrix<Real> RmsNorm<Real>::backward(const Matrix<Real>& x, const Matrix<Real>& d_y) {
  Matrix<Real> d_x(x.rows, x.columns);
  const Real* gains = gain.value.values.data();
  Real* d_gains = gain.gradient.values.data();
  for (int r = 0; r < x.rows; ++r) {
    const Real *in = x.row(r), *d_out = d_y.row(r);
    const Real scale = inverse_rms(in, x.columns);
    Real mean = 0;
    for (int i = 0; i < x.columns; ++i) {
      mean += gains[i] * d_out[i] * in[i] / static_cast<Real>(x.columns);
      d_gains[i] += d_out[i] * in[i] * scale;
    }
    for (int i = 0; i < x.columns; ++i) d_x.row(r)[i] = scale * (gains[i] * d_out[i] - in[i] * scale * scale * mean);
  }
  return d_x;
}

template <typename Real>
Mlp<Real>::Mlp(const std::string& name, int width, double out_gain, std::mt19937& random)
    : in(name + ".in", width, 4 * width, 1, random), out(name + ".out", 4 * width, width, out_gain, random) {}

template <typename Real>
Matrix<Real> Mlp<Real>::forward(const Matrix<Real>& x) {
  hidden_ = in.forward(x);
  for (Real& value : hidden_.values) value = std::max(value, Real{0});
  return out.forward(hidden_);
}

template <typename Real>
Matrix<Real> Mlp<Real>::backward(const Matrix<Real>& x, const Matrix<Real>& d_y) {
  Matrix<Real> d_hidden = out.backward(hidden_, d_y);
  for (std::size_t i = 0; i < d_hidden.values.size(); ++i) {
    if (hidden_.values[i] == 0) d_hidden.values[i] = 0;
  }
  return in.backward(x, d_hidden);
}

template <typename Real>
Embedding<Real>::Embedding(int width, std::mt19937& random) : table("embedding", normal_matrix<Real>(256, width, 1, random)) {}

template <typename Real>
Matrix<Real> Embedding<Real>::forward(const std::vector<std::uint8_t>& bytes) const {
  Matrix<Real> y(static_cast<int>(bytes.size()), table.value.columns);
  for (int r = 0; r < y.rows; ++r) std::copy_n(table.value.row(bytes[static_cast<std::size_t>(r)]), y.columns, y.row(r));
  return y;
}

template <typename Real>
void Embedding<Real>::backward(const std::vector<std::uint8_t>& bytes, const Matrix<Real>& d_y) {
  for (int r = 0; r < d_y.rows; ++r) {
    Real* row = table.gradient.row(bytes[static_cast<std::size_t>(r)]);
    for (int i = 0; i < d_y.columns; ++i) row[i] += d_y.row(r)[i];
  }
}

template <typename Real>
double cross_entropy(Matrix<Real>& logits, const std::vector<std::uint8_t>& wanted) {
  double loss = 0;
  for (int r = 0; r < logits.rows; ++r) {
    Real* row = logits.row(r);
    const int target = wanted[static_cast<std::size_t>(r)];
    const Real largest = *std::max_element(row, row + logits.columns), logit = row[target];
    Real sum = 0;
    for (int i = 0; i < logits.columns; ++i) sum += row[i] = std::exp(row[i] - largest);
    loss += static_cast<double>(std::log(sum) + largest - logit) / logits.rows;
    for (int i = 0; i < logits.columns; ++i) row[i] /= sum * static_cast<Real>(logits.rows);
    row[target] -= 1 / static_cast<Real>(logits.rows);
  }
  return loss;
}

template struct Linear<float>;
template struct Linear<double>;
template struct RmsNorm<float>;
template struct RmsNorm<double>;
template class Mlp<float>;
template class Mlp<double>;
template struct Embedding<float>;
template struct Embedding<double>;
template double cross_entropy(Matrix<float>&, const std::vector<std::uint8_t>&);
template double cross_entropy(Matrix<double>&, const std::vector<std::uint8_t>&);
