// The layers around attention, each a pair: forward from an input to an output, and backward from the gradient by that output
// to the gradient by that input. Backward is given the input again, which the caller keeps, and adds to the gradients of the
// layer's parameters.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "matrix.h"

// y = x W.
template <typename Real>
struct Linear {
  Parameter<Real> weight;

  // Of unit variance for inputs of unit variance, times `gain`.
  Linear(const std::string& name, int inputs, int outputs, double gain, std::mt19937& random);
  Matrix<Real> forward(const Matrix<Real>& x) const;
  Matrix<Real> backward(const Matrix<Real>& x, const Matrix<Real>& d_y);
};

// y = gain * x / rms(x), for each row.
template <typename Real>
struct RmsNorm {
  Parameter<Real> gain;

  RmsNorm(const std::string& name, int width);
  Matrix<Real> forward(const Matrix<Real>& x) const;
  Matrix<Real> backward(const Matrix<Real>& x, const Matrix<Real>& d_y);
};

// y = relu(x A) B.
template <typename Real>
class Mlp {
 public:
  Mlp(const std::string& name, int width, double out_gain, std::mt19937& random);
  Matrix<Real> forward(const Matrix<Real>& x);
  Matrix<Real> backward(const Matrix<Real>& x, const Matrix<Real>& d_y);

  Linear<Real> in, out;

 private:
  Matrix<Real> hidden_;  // of the last forward pass, after relu
};

// A row for each byte.
template <typename Real>
struct Embedding {
  Parameter<Real> table;

  Embedding(int width, std::mt19937& random);
  Matrix<Real> forward(const std::vector<std::uint8_t>& bytes) const;
  void backward(const std::vector<std::uint8_t>& bytes, const Matrix<Real>& d_y);
};

// The mean of -log softmax(logits)[wanted] over the rows, in nats. Logits become their gradient.
template <typename Real>
double cross_entropy(Matrix<Real>& logits, const std::vector<std::uint8_t>& wanted);

template <typename Real>
void add(Matrix<Real>& sum, const Matrix<Real>& term) {
  for (std::size_t i = 0; i < sum.values.size(); ++i) sum.values[i] += term.values[i];
}
