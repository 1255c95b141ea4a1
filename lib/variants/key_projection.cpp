// A dense projection is three products; the others are one loop over tokens, of which each belongs to one key.
#include "variants/key_projection.h"

#include <algorithm>

namespace flexjit::variants {

namespace {

// The tokens of one key that take part.
struct Span {
  std::int64_t begin, end;
  std::int64_t count() const { return end - begin; }
};

Span span_of(const KeyPool& pool, std::int64_t key) {
  const std::int64_t begin = std::min(key * pool.stride, pool.present);
  return {begin, std::min(begin + pool.stride, pool.present)};
}

const float* row_of(const Matrix& source, std::int64_t token) { return source.data + token * source.row_stride; }

void add_scaled(const float* row, float factor, std::int64_t dims, float* sum) {
  for (std::int64_t d = 0; d < dims; ++d) sum[d] += factor * row[d];
}

// The first token of the span whose element is the largest; a NaN is larger than all.
std::int64_t largest(const Matrix& source, const Span& span, std::int64_t d) {
  std::int64_t found = span.begin;
  for (std::int64_t t = span.begin + 1; t < span.end; ++t) {
    const float best = row_of(source, found)[d];
    if (best == best && !(row_of(source, t)[d] <= best)) found = t;
  }
  return found;
}

// Of a mean or a convolution, what a token of the span counts.
float share_of(const KeyPool& pool, const Matrix& weights, const Span& span, std::int64_t token) {
  if (pool.pooling == KeyPooling::kMean) return 1.0F / static_cast<float>(span.count());
  return weights.data[(token - span.begin) * weights.row_stride];
}

}  // namespace

void project(const KeyPool& pool, const Matrix& weights, const Matrix& source, float* projected) noexcept {
  std::fill_n(projected, pool.keys * pool.dims, 0.0F);
  if (pool.pooling == KeyPooling::kDense)
    return add_product(weights.transposed(), source, {pool.keys, pool.dims, pool.present}, projected, pool.dims);
  for (std::int64_t key = 0; key < pool.keys; ++key) {
    const Span span = span_of(pool, key);
    float* sum = projected + key * pool.dims;
    if (pool.pooling == KeyPooling::kMax) {
      for (std::int64_t d = 0; d < pool.dims && span.count() > 0; ++d) sum[d] = row_of(source, largest(source, span, d))[d];
      continue;
    }
    for (std::int64_t t = span.begin; t < span.end; ++t)
      add_scaled(row_of(source, t), share_of(pool, weights, span, t), pool.dims, sum);
  }
}

void project_back(const KeyPool& pool, const Matrix& weights, const Matrix& source, const float* gradient,
                  float* source_gradient) noexcept {
  std::fill_n(source_gradient, pool.tokens * pool.dims, 0.0F);
  if (pool.pooling == KeyPooling::kDense)
    return add_product(weights, {gradient, pool.dims, 1}, {pool.present, pool.dims, pool.keys}, source_gradient, pool.dims);
  for (std::int64_t key = 0; key < pool.keys; ++key) {
    const Span span = span_of(pool, key);
    const float* of_key = gradient + key * pool.dims;
    if (pool.pooling == KeyPooling::kMax) {
      for (std::int64_t d = 0; d < pool.dims && span.count() > 0; ++d)
        source_gradient[largest(source, span, d) * pool.dims + d] = of_key[d];
      continue;
    }
    for (std::int64_t t = span.begin; t < span.end; ++t)
      add_scaled(of_key, share_of(pool, weights, span, t), pool.dims, source_gradient + t * pool.dims);
  }
}

void add_weights_gradient(const KeyPool& pool, const Matrix& source, const float* gradient, std::int64_t begin,
                          std::int64_t end, float* weights_gradient) noexcept {
  end = std::min(end, pool.present);
  if (begin >= end) return;
  if (pool.pooling == KeyPooling::kDense) {
    const Matrix of_keys{gradient, pool.dims, 1};
    return add_product(source.from_row(begin), of_keys.transposed(), {end - begin, pool.keys, pool.dims},
                       weights_gradient + begin * pool.keys, pool.keys);
  }
  for (std::int64_t t = begin; t < end; ++t) {
    const float *row = row_of(source, t), *of_key = gradient + t / pool.stride * pool.dims;
    for (std::int64_t d = 0; d < pool.dims; ++d) weights_gradient[t % pool.stride] += row[d] * of_key[d];
  }
}

}  // namespace flexjit::variants
