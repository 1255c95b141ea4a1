// Products in registers: the accumulators of some rows by some vectors, into which one micro-kernel multiplies a broadcast
// number of each row by a row of vectors, step by step.
#pragma once

#include "codegen/emit/cells.h"
#include "codegen/parts/real_rows.h"

namespace flexjit::codegen {

// rows x vectors vectors of reals from `first` on, rows being row_reals apart.
struct VectorTile {
  Emitter& e;
  Ptr first;
  std::int64_t row_reals;
  int rows, vectors;

  Ptr at(int r, int j) const { return e.at_real(first, e.index(std::int64_t{r} * row_reals + std::int64_t{j} * e.lanes())); }
  Values load() const;
  void store(const Values& acc) const;
};

// One product. The vectors of a step lie at an address that the steps carry on.
struct Product {
  const char* name;
  Index begin, end;
  int rows;
  Ptr factors;  // the cell [row * factor_stride + step]
  std::int64_t factor_stride;
  Ptr vectors;
  llvm::function_ref<llvm::SmallVector<Cells, 8>(Ptr)> load;
  llvm::function_ref<Ptr(Ptr)> next;
};
// for (k = begin; k < end; ++k) { acc[r][j] += factors[r][k] * load(vectors)[j]; vectors = next(vectors); }
Values emit_product(Emitter& e, const Product& product, Values acc);

// body(row, count) for chunks of `most` rows, then of half as many down to 1.
void for_row_chunks(Emitter& e, const char* name, Index rows, int most, llvm::function_ref<void(Index, int)> body);

// Dims [dim, dim + vectors * lanes), the last vector cut at the end of the dims if `tail` elements of it are left.
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
void for_chunks(Emitter& e, const char* name, const ChunkSizes& sizes, llvm::function_ref<void(const Chunk&)> body);
// As few chunks as hold `total` with at most `most` each, of equal width.
int equal_width(int total, int most);

}  // namespace flexjit::codegen
