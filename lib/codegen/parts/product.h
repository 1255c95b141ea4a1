// Products in registers: the accumulators of some rows by some vectors, which a loop carries, and into which one micro-kernel
// multiplies a broadcast number of each row by a row of vectors, step by step. And how rows and dims are cut into such tiles.
#pragma once

#include "codegen/parts/real_rows.h"

namespace flexjit::codegen {

// rows x vectors vectors of reals from `first` on, rows being row_reals apart.
struct VectorTile {
  Emitter& e;
  Ptr first;
  std::int64_t row_reals;
  int rows, vectors;

  Ptr at(int r, int j) const { return e.at_real(first, e.index(std::int64_t{r} * row_reals + std::int64_t{j} * e.lanes())); }
  Values load() const {
    Values acc;
    for (int i = 0; i < rows * vectors; ++i) acc.push_back(e.load_reals(at(i / vectors, i % vectors), vector_bytes(e)).value);
    return acc;
  }
  void store(const Values& acc) const {
    for (int i = 0; i < rows * vectors; ++i) {
      e.store(acc[static_cast<std::size_t>(i)], at(i / vectors, i % vectors), vector_bytes(e));
    }
  }
};

// One product. The vectors of a step lie at an address that the steps carry on.
struct Product {
  const char* name;
  Index begin, end;
  int rows;
  Ptr factors;  // the cell [row * factor_stride + step * step_stride]
  std::int64_t factor_stride;
  std::int64_t step_stride = 1;  // cells between the factors of two steps
  Ptr vectors;
};
using CellVectors = llvm::SmallVector<Cells, 8>;
// for (k = begin; k < end; ++k) { acc[r][j] += factors[r][k] * load(vectors, k)[j]; vectors = next(vectors); }
inline Values emit_product(Emitter& e, const Product& product, Values acc, llvm::function_ref<CellVectors(Ptr, Index)> load,
                           llvm::function_ref<Ptr(Ptr)> next) {
  const bool side_by_side = product.step_stride == 1;
  acc.push_back(product.vectors.value);
  // Addresses that no instruction encodes are carried.
  if (!side_by_side) acc.push_back(at_cell(e, product.factors, e.mul(product.begin, e.index(product.step_stride))).value);
  acc = e.for_range(product.name, product.begin, product.end, e.index(1), acc, [&](Index k, const Values& sums) {
    const Ptr vectors{sums[sums.size() - (side_by_side ? 1 : 2)]};
    const Ptr factors = side_by_side ? at_cell(e, product.factors, k) : Ptr{sums.back()};
    const CellVectors v = load(vectors, k);
    Values next_sums;
    for (int r = 0; r < product.rows; ++r) {
      const Cells factor = broadcast_cell(e, at_cell(e, factors, e.index(r * product.factor_stride)));
      for (const Cells& x : v) next_sums.push_back(multiply_add(e, factor, x, Float{sums[next_sums.size()]}).value);
    }
    next_sums.push_back(next(vectors).value);
    if (!side_by_side) next_sums.push_back(at_cell(e, factors, e.index(product.step_stride)).value);
    return next_sums;
  });
  acc.truncate(acc.size() - (side_by_side ? 1 : 2));
  return acc;
}

// for (row = 0; row < (rows & -most); row += most) body(row, most);
// if (rows & n) body(rows & -2n, n) for n = most / 2, ..., 1
inline void for_row_chunks(Emitter& e, const char* name, Index rows, int most, llvm::function_ref<void(Index, int)> body) {
  const auto masked = [&](std::int64_t mask) { return e.bit_and(rows, e.index(mask)); };
  e.for_range(name, e.index(0), masked(-most), e.index(most), [&](Index row) { body(row, most); });
  for (int count = most / 2; count > 0; count /= 2) {
    e.if_then(name, Bool{e.ir().CreateIsNotNull(masked(count).value)}, [&] { body(masked(-2 * count), count); });
  }
}

// `vectors` vectors of dims from `dim` on, the last one cut at the end of the dims if `tail` elements of it are left.
struct Chunk {
  Index dim;
  int vectors;
  int tail;  // 0: the last vector is whole

  // Elements of vector j, of which a whole one has `width`.
  int elements(int j, int width) const { return tail != 0 && j + 1 == vectors ? tail : width; }
};
// The dims of a row, the elements of one vector, the vectors of a chunk.
struct ChunkSizes {
  int dims, width, vectors;
};
// for (d = 0; d + vectors * width <= dims; d += vectors * width) body(d, vectors); then what is left of the dims
inline void for_chunks(Emitter& e, const char* name, ChunkSizes sizes, llvm::function_ref<void(const Chunk&)> body) {
  const int rest = sizes.dims % (sizes.vectors * sizes.width);
  const Index whole = e.index(sizes.dims - rest), step = e.index(sizes.vectors * sizes.width);
  e.for_range(name, e.index(0), whole, step, [&](Index dim) { body({dim, sizes.vectors, 0}); });
  if (rest != 0) body({whole, (rest + sizes.width - 1) / sizes.width, rest % sizes.width});
}
// The vectors of a chunk that makes as few as hold `total` with at most `most` each, of equal width.
inline int equal_width(int total, int most) {
  const int chunks = (total + most - 1) / most;
  return (total + chunks - 1) / chunks;
}

}  // namespace flexjit::codegen
