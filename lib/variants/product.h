// Products of matrices of fp32, for what variants compute before and behind the attention: projections of keys, and of modules.
#pragma once

#include <cstdint>

namespace flexjit::variants {

// Element (i, j) is data[i * row_stride + j * column_stride].
struct Matrix {
  const float* data = nullptr;
  std::int64_t row_stride = 0, column_stride = 1;

  Matrix transposed() const { return {data, column_stride, row_stride}; }
  Matrix from_row(std::int64_t i) const { return {data + i * row_stride, row_stride, column_stride}; }
};

struct ProductSizes {
  std::int64_t rows = 0, columns = 0, depth = 0;
};

// c += a b, where a is (rows, depth), b (depth, columns) and c (rows, columns) with `c_stride` elements from row to row. An
// element is summed up in the order of depth whatever the sizes, so that products of parts of the rows have the bits of the
// whole. On one thread.
void add_product(const Matrix& a, const Matrix& b, const ProductSizes& sizes, float* c, std::int64_t c_stride) noexcept;

}  // namespace flexjit::variants
