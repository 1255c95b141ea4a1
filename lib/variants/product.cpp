// Tiles of 6 x 16 sums in registers: b is packed 16 columns abreast, a is read where it lies, whatever its strides.
#include "variants/product.h"

#include <algorithm>
#include <cstring>

namespace flexjit::variants {

namespace {

constexpr std::int64_t kRows = 6, kColumns = 16;
constexpr std::int64_t kDepth = 256;  // of a packed part of b, which stays in the first-level cache

using Lanes = float __attribute__((vector_size(kColumns * sizeof(float))));

struct Tile {
  const float* a[kRows];  // each row at the tile's first element of depth
  std::int64_t a_step;
  const float* b;
  std::int64_t depth;
  float* sums;  // kRows x kColumns, added to
};

[[gnu::always_inline]] inline void compute_tile(const Tile& tile) {
  Lanes sums[kRows];
  std::memcpy(sums, tile.sums, sizeof sums);
  for (std::int64_t d = 0; d < tile.depth; ++d) {
    Lanes b;
    std::memcpy(&b, tile.b + d * kColumns, sizeof b);
    for (std::int64_t r = 0; r < kRows; ++r) sums[r] += tile.a[r][d * tile.a_step] * b;
  }
  std::memcpy(tile.sums, sums, sizeof sums);
}

using TileFunction = void (*)(const Tile&);

void tile_baseline(const Tile& tile) { compute_tile(tile); }

#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] void tile_avx2(const Tile& tile) { compute_tile(tile); }
#endif

TileFunction best_tile() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return tile_avx2;
#endif
  return tile_baseline;
}

// A part of b, whose columns behind the last are 0.
void pack(const Matrix& b, std::int64_t depth, std::int64_t columns, float* packed) {
  for (std::int64_t d = 0; d < depth; ++d) {
    float* row = packed + d * kColumns;
    for (std::int64_t j = 0; j < columns; ++j) row[j] = b.data[d * b.row_stride + j * b.column_stride];
    std::fill(row + columns, row + kColumns, 0.0F);
  }
}

struct Place {
  std::int64_t row, rows, columns;
};

// Rows behind the last repeat it, and are not stored.
void add_tile(TileFunction tile, const Matrix& a, const float* packed, std::int64_t depth, const Place& at, float* c,
              std::int64_t c_stride) {
  float sums[kRows * kColumns] = {};
  for (std::int64_t r = 0; r < at.rows; ++r) std::copy_n(c + (at.row + r) * c_stride, at.columns, sums + r * kColumns);
  Tile one{.a = {}, .a_step = a.column_stride, .b = packed, .depth = depth, .sums = sums};
  for (std::int64_t r = 0; r < kRows; ++r) one.a[r] = a.data + (at.row + std::min(r, at.rows - 1)) * a.row_stride;
  tile(one);
  for (std::int64_t r = 0; r < at.rows; ++r) std::copy_n(sums + r * kColumns, at.columns, c + (at.row + r) * c_stride);
}

}  // namespace

void add_product(const Matrix& a, const Matrix& b, const ProductSizes& sizes, float* c, std::int64_t c_stride) noexcept {
  static const TileFunction tile = best_tile();
  alignas(64) float packed[kDepth * kColumns];
  for (std::int64_t d = 0; d < sizes.depth; d += kDepth) {
    const std::int64_t depth = std::min(kDepth, sizes.depth - d);
    const Matrix a_part{a.data + d * a.column_stride, a.row_stride, a.column_stride};
    for (std::int64_t j = 0; j < sizes.columns; j += kColumns) {
      const std::int64_t columns = std::min(kColumns, sizes.columns - j);
      pack({b.data + d * b.row_stride + j * b.column_stride, b.row_stride, b.column_stride}, depth, columns, packed);
      for (std::int64_t i = 0; i < sizes.rows; i += kRows)
        add_tile(tile, a_part, packed, depth, {i, std::min(kRows, sizes.rows - i), columns}, c + j, c_stride);
    }
  }
}

}  // namespace flexjit::variants
