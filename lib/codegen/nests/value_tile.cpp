// O = rescale * O + P V: micro-tiles of micro_rows rows by up to micro_vectors vectors of value dims, kept in registers over
// the panels of the key tile that the rows visit. V is read row by row (or pair of rows by pair) as it lies.
#include <cstddef>

#include "codegen/nests/forward.h"

namespace flexjit::codegen {
namespace {

constexpr std::int64_t kCacheLine = 64;
constexpr std::int64_t kKeysAhead = 8;  // between the prefetch of a row of V and its use

}  // namespace

void ForwardEmitter::emit_value_product(const KeyTile& tile) {
  const SourceScope part = e_.part(plan::Part::kWeightsValues);
  for_value_chunks("value_dims", [&](Index dim, int vectors) { emit_value_tile(tile, dim, vectors); });
}

// The value dims in chunks of equal width, as few as fit the registers, and one narrower chunk if they do not divide.
void ForwardEmitter::for_value_chunks(llvm::StringRef name, llvm::function_ref<void(Index dim, int vectors)> body) {
  const int total = layout_.v_padded / e_.lanes();
  const int chunks = (total + key_.tiling.micro_vectors - 1) / key_.tiling.micro_vectors;
  const int width = (total + chunks - 1) / chunks;
  const std::int64_t whole = std::int64_t{total / width} * width * e_.lanes();
  e_.for_range(name, e_.index(0), e_.index(whole), e_.index(std::int64_t{width} * e_.lanes()),
               [&](Index dim) { body(dim, width); });
  if (total % width != 0) body(e_.index(whole), total % width);
}

void ForwardEmitter::emit_value_tile(const KeyTile& tile, Index dim, int vectors) {
  for_each_group("value_rows", [&](Index group, Index) { emit_value_rows(tile, group, dim, vectors); });
}

// acc[r][j] = rescale[row + r] * o[row + r][dim + j];
// for (k = visit.first; k < min(visit.after, count); k += v_group) acc[r][j] += P[row + r][k] * V[kv + k][dim + j];
// o[row + r][dim + j] = acc[r][j];
// Panels past the count hold weights of 0, but no row of V need lie there.
void ForwardEmitter::emit_value_rows(const KeyTile& tile, Index group, Index dim, int vectors) {
  const int rows = key_.tiling.micro_rows;
  const Index row = e_.mul(group, e_.index(rows));
  const Ptr outputs = e_.opaque(real_at(scratch_.o, row, layout_.v_padded, dim));
  const Ptr factors = e_.opaque(real_at(scratch_.rescale, row, 1, e_.index(0)));
  const auto output_at = [&](int r, int j) {
    return e_.at_real(outputs, e_.index(std::int64_t{r} * layout_.v_padded + j * e_.lanes()));
  };
  Values acc;
  for (int r = 0; r < rows; ++r) {
    const Float rescale = e_.load_real(e_.at_real(factors, e_.index(r)));
    for (int j = 0; j < vectors; ++j) {
      const Float old = e_.load_reals(output_at(r, j), vector_bytes());
      acc.push_back(is_softmax() ? e_.mul(rescale, old).value : old.value);
    }
  }
  const auto cells_of = [&](Index columns) { return Index{e_.ir().CreateLShr(columns.value, layout_.v_group - 1)}; };
  const Index begin = cells_of(visit_field(group, offsetof(plan::Visit, first)));
  const Index end =
      cells_of(e_.round_up(e_.min(visit_field(group, offsetof(plan::Visit, after)), tile.count), layout_.v_group));
  const Ptr weights = score_at(row, e_.index(0));
  const Index first_row = e_.add(cells_of(tile.kv), begin);
  acc.push_back(at_cell(e_, item_.v_rows, e_.add(e_.mul(first_row, item_.v_stride), dim)).value);
  const std::int64_t row_cells = scratch_.s_stride * e_.real_bytes() / layout_.cell_bytes;
  // V that does not fit the second-level cache comes from the third. Where a key's chunk is a single line, the lines of a tile
  // share few sets of the first level, and come from the second again and again.
  const std::int64_t chunk_bytes = std::int64_t{vectors} * vector_bytes();
  const CacheLevel level = chunk_bytes > kCacheLine ? CacheLevel::kSecond : CacheLevel::kFirst;
  const Index ahead = e_.mul(item_.v_stride, e_.index(kKeysAhead * layout_.cell_bytes));
  acc = e_.for_range("pv", begin, end, e_.index(1), acc, [&](Index k, const Values& carried) {
    const Ptr values{carried.back()};
    for (std::int64_t byte = 0; byte < chunk_bytes; byte += kCacheLine) {
      e_.prefetch(e_.anywhere(values, e_.add(ahead, e_.index(byte))), level);
    }
    llvm::SmallVector<Cells, 8> v;
    for (int j = 0; j < vectors; ++j) {
      v.push_back(load_cells(e_, at_cell(e_, values, e_.index(j * e_.lanes())), static_cast<int>(e_.real_bytes())));
    }
    Values next;
    for (int r = 0; r < rows; ++r) {
      const Cells p = broadcast_cell(e_, at_cell(e_, at_cell(e_, weights, k), e_.index(r * row_cells)));
      for (int j = 0; j < vectors; ++j) {
        next.push_back(multiply_add(e_, p, v[static_cast<std::size_t>(j)], Float{carried[next.size()]}).value);
      }
    }
    next.push_back(at_cell(e_, values, item_.v_stride).value);
    return next;
  });
  std::size_t next = 0;
  for (int r = 0; r < rows; ++r) {
    for (int j = 0; j < vectors; ++j) e_.store(acc[next++], output_at(r, j), vector_bytes());
  }
}

}  // namespace flexjit::codegen
