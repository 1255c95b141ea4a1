// The keys or values of one head of one sequence into those that queries meet, and gradients the other way.
#pragma once

#include <cstdint>

#include "flexjit/projected_keys.h"
#include "variants/product.h"

namespace flexjit::variants {

struct KeyPool {
  KeyPooling pooling;
  std::int64_t tokens;  // of which the first `present` take part
  std::int64_t present;
  std::int64_t keys;
  std::int64_t stride;
  std::int64_t dims;
};

// projected, dense (keys, dims), is overwritten. `weights`: e or f, of kDense (tokens, keys), of kConvolution (stride, 1).
void project(const KeyPool& pool, const Matrix& weights, const Matrix& source, float* projected) noexcept;

// source_gradient, dense (tokens, dims), is overwritten; `gradient` is that of the projected, dense.
void project_back(const KeyPool& pool, const Matrix& weights, const Matrix& source, const float* gradient,
                  float* source_gradient) noexcept;

// Tokens [begin, end) of kDense or kConvolution: what the pairs of them add to the gradient of the weights, dense (tokens,
// keys) or (stride).
void add_weights_gradient(const KeyPool& pool, const Matrix& source, const float* gradient, std::int64_t begin,
                          std::int64_t end, float* weights_gradient) noexcept;

}  // namespace flexjit::variants
