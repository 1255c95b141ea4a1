// Accumulators are the values that a loop carries, in registers; nothing is stored between its steps.
#include "codegen/parts/product.h"

namespace flexjit::codegen {

Values VectorTile::load() const {
  Values acc;
  for (int r = 0; r < rows; ++r) {
    for (int j = 0; j < vectors; ++j) acc.push_back(e.load_reals(at(r, j), vector_bytes(e)).value);
  }
  return acc;
}

void VectorTile::store(const Values& acc) const {
  std::size_t next = 0;
  for (int r = 0; r < rows; ++r) {
    for (int j = 0; j < vectors; ++j) e.store(acc[next++], at(r, j), vector_bytes(e));
  }
}

Values emit_product(Emitter& e, const Product& product, Values acc) {
  acc.push_back(product.vectors.value);
  acc = e.for_range(product.name, product.begin, product.end, e.index(1), acc, [&](Index k, const Values& sums) {
    const Ptr vectors{sums.back()};
    const llvm::SmallVector<Cells, 8> v = product.load(vectors);
    Values next;
    for (int r = 0; r < product.rows; ++r) {
      const Cells factor = broadcast_cell(e, at_cell(e, at_cell(e, product.factors, k), e.index(r * product.factor_stride)));
      for (const Cells& x : v) next.push_back(multiply_add(e, factor, x, Float{sums[next.size()]}).value);
    }
    next.push_back(product.next(vectors).value);
    return next;
  });
  acc.pop_back();
  return acc;
}

// for (row = 0; row < (rows & -most); row += most) body(row, most);
// if (rows & n) body(rows & -2n, n) for n = most / 2, ..., 1
void for_row_chunks(Emitter& e, const char* name, Index rows, int most, llvm::function_ref<void(Index, int)> body) {
  auto& ir = e.ir();
  const auto masked = [&](std::int64_t mask) { return Index{ir.CreateAnd(rows.value, e.index(mask).value)}; };
  e.for_range(name, e.index(0), masked(-most), e.index(most), [&](Index row) { body(row, most); });
  for (int count = most / 2; count > 0; count /= 2) {
    e.if_then(name, Bool{ir.CreateIsNotNull(masked(count).value)}, [&] { body(masked(-2 * count), count); });
  }
}

// for (d = 0; d + vectors * width <= dims; d += vectors * width) body(d, vectors); then what is left of the dims
void for_chunks(Emitter& e, const char* name, const ChunkSizes& sizes, llvm::function_ref<void(const Chunk&)> body) {
  const int chunk = sizes.vectors * sizes.width;
  const int rest = sizes.dims % chunk;
  const Index whole = e.index(sizes.dims - rest);
  e.for_range(name, e.index(0), whole, e.index(chunk), [&](Index dim) { body({dim, sizes.vectors, 0}); });
  if (rest != 0) body({whole, (rest + sizes.width - 1) / sizes.width, rest % sizes.width});
}

int equal_width(int total, int most) {
  const int chunks = (total + most - 1) / most;
  return (total + chunks - 1) / chunks;
}

}  // namespace flexjit::codegen
