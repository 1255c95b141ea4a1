// Tiles of 6 x 16 sums in registers, over parts of a and b that are packed as the tile reads them: whatever the strides,
// nothing is read twice from lines that lie a page apart.
#include "variants/product.h"

#include <algorithm>
#include <cstring>

namespace flexjit::variants {

namespace {

constexpr std::int64_t kTileRows = 6, kTileColumns = 16;
// Of a packed part, both of which stay in the first-level cache and fit a small stack.
constexpr std::int64_t kDepth = 128, kRows = 8 * kTileRows;

// Half a row of a tile: a register of AVX2, two of SSE.
constexpr std::int64_t kLanes = kTileColumns / 2;
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));

// sums (6, 16) = a b, where a has 6 numbers and b 16 for each step of depth.
[[gnu::always_inline]] inline void compute_tile(const float* a, const float* b, std::int64_t depth, float* sums) {
  Lanes left[kTileRows] = {}, right[kTileRows] = {};
  for (std::int64_t d = 0; d < depth; ++d, a += kTileRows, b += kTileColumns) {
    Lanes b_left, b_right;
    std::memcpy(&b_left, b, sizeof b_left);
    std::memcpy(&b_right, b + kLanes, sizeof b_right);
    for (std::int64_t r = 0; r < kTileRows; ++r) {
      left[r] += a[r] * b_left;
      right[r] += a[r] * b_right;
    }
  }
  for (std::int64_t r = 0; r < kTileRows; ++r, sums += kTileColumns) {
    std::memcpy(sums, &left[r], sizeof left[r]);
    std::memcpy(sums + kLanes, &right[r], sizeof right[r]);
  }
}

using TileFunction = void (*)(const float*, const float*, std::int64_t, float*);

void tile_baseline(const float* a, const float* b, std::int64_t depth, float* sums) { compute_tile(a, b, depth, sums); }

#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] void tile_avx2(const float* a, const float* b, std::int64_t depth, float* sums) {
  compute_tile(a, b, depth, sums);
}
#endif

TileFunction best_tile() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return tile_avx2;
#endif
  return tile_baseline;
}

// `across` rows of m, which has `count`, abreast for each of `depth` columns; what is behind the last is 0.
void pack(const Matrix& m, std::int64_t count, std::int64_t depth, std::int64_t across, float* packed) {
  for (std::int64_t d = 0; d < depth; ++d, packed += across) {
    const float* column = m.data + d * m.column_stride;
    for (std::int64_t i = 0; i < count; ++i) packed[i] = column[i * m.row_stride];
    std::fill(packed + count, packed + across, 0.0F);
  }
}

// c += sums, where there is a c.
void add_tile(const float* sums, std::int64_t rows, std::int64_t columns, float* c, std::int64_t c_stride) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t j = 0; j < columns; ++j) c[r * c_stride + j] += sums[r * kTileColumns + j];
  }
}

// A part of the depth and of the rows, by all columns of b.
void add_part(TileFunction tile, const Matrix& a, const Matrix& b, const ProductSizes& part, float* c, std::int64_t c_stride) {
  alignas(64) float packed_a[kRows * kDepth], packed_b[kTileColumns * kDepth];
  for (std::int64_t i = 0; i < part.rows; i += kTileRows)
    pack(a.from_row(i), std::min(kTileRows, part.rows - i), part.depth, kTileRows, packed_a + i * part.depth);
  for (std::int64_t j = 0; j < part.columns; j += kTileColumns) {
    const std::int64_t columns = std::min(kTileColumns, part.columns - j);
    pack(b.transposed().from_row(j), columns, part.depth, kTileColumns, packed_b);
    for (std::int64_t i = 0; i < part.rows; i += kTileRows) {
      alignas(64) float sums[kTileRows * kTileColumns];
      tile(packed_a + i * part.depth, packed_b, part.depth, sums);
      add_tile(sums, std::min(kTileRows, part.rows - i), columns, c + i * c_stride + j, c_stride);
    }
  }
}

}  // namespace

void add_product(const Matrix& a, const Matrix& b, const ProductSizes& sizes, float* c, std::int64_t c_stride) noexcept {
  static const TileFunction tile = best_tile();
  // Rows inside: of a transposed a, what stands side by side is then read together.
  for (std::int64_t d = 0; d < sizes.depth; d += kDepth) {
    for (std::int64_t i = 0; i < sizes.rows; i += kRows) {
      const Matrix part_of_a{a.data + i * a.row_stride + d * a.column_stride, a.row_stride, a.column_stride};
      const ProductSizes part{std::min(kRows, sizes.rows - i), sizes.columns, std::min(kDepth, sizes.depth - d)};
      add_part(tile, part_of_a, b.from_row(d), part, c + i * c_stride, c_stride);
    }
  }
}

}  // namespace flexjit::variants
