// O = rescale * O + P V: micro-tiles of micro_rows rows by up to micro_vectors vectors of value dims, kept in registers over
// the whole key tile. V is read row by row as it lies.
#include "codegen/forward.h"

namespace flexjit::codegen {

// The value dims in chunks of equal width, as few as fit the registers, and one narrower chunk if they do not divide.
void ForwardEmitter::emit_value_product(Index kv, Index count) {
  const int total = layout_.v_padded / e_.lanes();
  const int chunks = (total + key_.tiling.micro_vectors - 1) / key_.tiling.micro_vectors;
  const int width = (total + chunks - 1) / chunks;
  const std::int64_t whole = std::int64_t{total / width} * width * e_.lanes();
  e_.for_range("value_dims", e_.index(0), e_.index(whole), e_.index(std::int64_t{width} * e_.lanes()),
               [&](Index dim) { emit_value_tile(kv, count, dim, width); });
  if (total % width != 0) emit_value_tile(kv, count, e_.index(whole), total % width);
}

void ForwardEmitter::emit_value_tile(Index kv, Index count, Index dim, int vectors) {
  e_.for_range("value_rows", e_.index(0), item_.rows, e_.index(key_.tiling.micro_rows),
               [&](Index row) { emit_value_rows(kv, count, dim, row, vectors); });
}

// acc[r][j] = rescale[row + r] * o[row + r][dim + j];
// for (k = 0; k < count; ++k) acc[r][j] += P[row + r][k] * V[kv + k][dim + j];
// o[row + r][dim + j] = acc[r][j];
void ForwardEmitter::emit_value_rows(Index kv, Index count, Index dim, Index row, int vectors) {
  const int rows = key_.tiling.micro_rows;
  const int alignment = 4 * e_.lanes();
  const auto output_at = [&](int r, int j) {
    return scratch_at(scratch_.o, e_.add(row, e_.index(r)), layout_.v_padded, e_.add(dim, e_.index(j * e_.lanes())));
  };
  Values acc;
  for (int r = 0; r < rows; ++r) {
    const Float rescale = e_.load(scratch_at(scratch_.rescale, e_.add(row, e_.index(r)), 1, e_.index(0)));
    for (int j = 0; j < vectors; ++j) acc.push_back(e_.mul(rescale, e_.load_vector(output_at(r, j), alignment)).value);
  }
  const Ptr weights = score_at(row, e_.index(0));
  acc.push_back(e_.at(item_.v_rows, e_.add(e_.mul(kv, item_.v_stride), dim)).value);
  acc = e_.for_range("pv", e_.index(0), count, e_.index(1), acc, [&](Index k, const Values& carried) {
    const Ptr values{carried.back()};
    llvm::SmallVector<Float, 8> v;
    for (int j = 0; j < vectors; ++j) v.push_back(e_.load_vector(e_.at(values, e_.index(j * e_.lanes()))));
    Values next;
    for (int r = 0; r < rows; ++r) {
      const Float p = e_.broadcast(e_.load(e_.at(e_.at(weights, k), e_.index(r * scratch_.s_stride))));
      for (int j = 0; j < vectors; ++j)
        next.push_back(e_.fma(p, v[static_cast<std::size_t>(j)], Float{carried[next.size()]}).value);
    }
    next.push_back(e_.at(values, item_.v_stride).value);
    return next;
  });
  std::size_t next = 0;
  for (int r = 0; r < rows; ++r) {
    for (int j = 0; j < vectors; ++j) e_.store(acc[next++], output_at(r, j), alignment);
  }
}

}  // namespace flexjit::codegen
