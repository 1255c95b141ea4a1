// Causal self-attention by flexjit: from the rows of a text to rows that know those before them, and back.
#pragma once

#include <flexjit/flexjit.h>

#include <string>

#include "layers.h"

// How a matrix of batch * length rows is divided: a row is a position, and the positions of one text follow one another.
struct Extents {
  int batch = 0, length = 0;
};

// y = attention(x A) B. A row of x A is a query, a key and a value for each head, which flexjit reads where they lie and whose
// gradients it writes in the same places: nothing is copied or transposed. The place of a key is known by its distance alone,
// as a penalty of a learned slope for each head.
template <typename Real>
class SelfAttention {
 public:
  SelfAttention(const std::string& name, int width, int heads, double out_gain, std::mt19937& random);
  Matrix<Real> forward(const Matrix<Real>& x, const Extents& extents);
  Matrix<Real> backward(const Matrix<Real>& x, const Matrix<Real>& d_y);

  Linear<Real> in, out;
  Parameter<Real> slope;  // (1, heads)

 private:
  // Of the last forward pass, with what it wrote.
  flexjit::RunArgs args();

  int heads_;
  flexjit::Bindings bindings_;
  flexjit::Attention attention_;
  Extents extents_;
  Matrix<Real> projected_, attended_, lse_;
};
