// O += P V of one key step of few rows: micro-tiles of up to micro_rows rows by as many vectors of value dims as fit the
// registers. Rows of V are read as they lie, one after the other; of bf16, two that are interleaved, which leaves the value
// dims in another order; o keeps that order until the item is done.
#include "codegen/emit/lane_transpose.h"
#include "codegen/parts/row_block.h"

namespace flexjit::codegen {
namespace {

// o[row..][dims of the chunk], kept in registers.
struct Target {
  VectorTile o;
  Index row;
  const Chunk& chunk;
};

// acc[r][j] = o[row + r][dim + j];
// for (k = first; k < last; ++k) { prefetch; acc[r][j] += s[row + r][k - kv] * V[k][dim + j]; }
// o[row + r][dim + j] = acc[r][j];
void emit_reals(Emitter& e, RowBlock& b, const KeyStep& step, const Target& target) {
  const StreamedRows& v = b.v;
  const Values acc = target.o.load();
  const Ptr vectors = v.at(e.add(e.mul(step.first, v.rows.stride), target.chunk.dim));
  const Ptr weights = b.s.at(target.row);
  const Index ahead = v.ahead();
  const Index begin = e.sub(step.first, step.kv), end = e.sub(step.last, step.kv);
  const auto load = [&](Ptr row) {
    for (std::int64_t byte = 0; byte < target.o.vectors * e.lanes() * v.element_bytes(); byte += kCacheLine) {
      v.prefetch(row, e.add(ahead, e.index(byte / v.element_bytes())));
    }
    CellVectors cells;
    for (int j = 0; j < target.o.vectors; ++j) {
      const VectorPart part{e.lanes(), target.chunk.elements(j, e.lanes())};
      cells.push_back(as_cells(e, v.load(row, e.index(std::int64_t{j} * e.lanes()), part), v.dtype));
    }
    return cells;
  };
  const Product product{.name = "pv",
                        .begin = begin,
                        .end = end,
                        .rows = target.o.rows,
                        .factors = weights,
                        .factor_stride = b.s.stride,
                        .vectors = vectors};
  const auto next = [&](Ptr row) { return at_element(e, row, v.rows.stride, v.dtype); };
  target.o.store(emit_product(e, product, acc, load, next));
}

// acc[r][j] += weight pair of row r * pairs[j]
Values add_pairs(Emitter& e, RowBlock& b, const Values& acc, Ptr weights, llvm::ArrayRef<llvm::Value*> pairs) {
  Values next;
  while (next.size() < acc.size()) {
    const auto r = static_cast<std::int64_t>(next.size() / pairs.size());
    const Int pair = e.broadcast(e.load_int(e.at(weights, e.index(r * b.s.stride))));
    for (llvm::Value* values : pairs) {
      const Cells of_keys = as_cells(e, values, DType::kBF16), weight = as_cells(e, pair.value, DType::kBF16);
      next.push_back(multiply_add(e, of_keys, weight, Float{acc[next.size()]}).value);
    }
  }
  return next;
}

// acc[r][j] = o[row + r][dim + j];
// for (k = (first - kv) & -2; kv + k < last; k += 2) { prefetch; acc[r][j] += weights of k, k + 1 * interleaved V rows; }
// o[row + r][dim + j] = acc[r][j];
// A key outside the span has weight 0, and the nearest key inside it is read.
void emit_pairs(Emitter& e, RowBlock& b, const KeyStep& step, const Target& target) {
  const StreamedRows& v = b.v;
  const int width = 2 * e.lanes();
  const Values old = target.o.load();
  const Index ahead = v.ahead();
  const Ptr dims = v.at(target.chunk.dim), weights = b.s.at(target.row);
  const Index from = e.bit_and(e.sub(step.first, step.kv), e.index(-2));
  target.o.store(e.for_range("pv", from, e.sub(step.last, step.kv), e.index(2), old, [&](Index k, const Values& acc) {
    Ptr rows[2];
    for (int i = 0; i < 2; ++i) {
      const Index key = e.widen(b.numbers.load(e.add(k, e.index(i))));
      rows[i] = at_element(e, dims, e.mul(key, v.rows.stride), v.dtype);
    }
    llvm::SmallVector<llvm::Value*, 8> pairs;
    for (int j = 0; j < target.chunk.vectors; ++j) {
      const Index dim = e.index(std::int64_t{j} * width);
      const VectorPart part{width, target.chunk.elements(j, width)};
      llvm::Value* both[2];
      for (int i = 0; i < 2; ++i) {
        v.prefetch(rows[i], e.add(ahead, dim));
        both[i] = v.load(rows[i], dim, part);
      }
      for (int half : {0, 1}) pairs.push_back(interleave(e, both[0], both[1], half));
    }
    return add_pairs(e, b, acc, e.at(weights, e.lshr(k, e.index(1))), pairs);
  }));
}

// The value dims in chunks of equal width, as few as fit the registers; the last may be narrower and end inside a vector of V.
void emit_rows(Emitter& e, RowBlock& b, const KeyStep& step, Index row, int rows) {
  const int width = operands_of(e).width;
  const int vectors = width / e.lanes();  // of o for one of V
  const int accumulators = b.key.tiling.micro_rows * b.key.tiling.micro_vectors / rows;
  const int total = static_cast<int>(b.o.stride) / width;
  const ChunkSizes sizes{b.key.v_head_dim, width, equal_width(total, accumulators / vectors)};
  for_chunks(e, "value_dims", sizes, [&](const Chunk& chunk) {
    const Target target{{e, b.o.at(row, chunk.dim), b.o.stride, rows, chunk.vectors * vectors}, row, chunk};
    switch (e.arithmetic()) {
      case plan::Arithmetic::kBF16: return emit_pairs(e, b, step, target);
      case plan::Arithmetic::kF32:
      case plan::Arithmetic::kF64: return emit_reals(e, b, step, target);
    }
  });
}

}  // namespace

void emit_values(Emitter& e, RowBlock& b, const KeyStep& step) {
  const SourceScope part = e.part(plan::Part::kWeightsValues);
  for_row_chunks(e, "value_rows", b.item.rows, b.key.tiling.micro_rows,
                 [&](Index row, int rows) { emit_rows(e, b, step, row, rows); });
}

// for (r = 0; r < rows; ++r) if (unsettled[r]) for (k = first; k < last; ++k) o[r] += s[r][k - kv] * V[k] / kHeadroom
void emit_careful_values(Emitter& e, RowBlock& b, const KeyStep& step) {
  const SourceScope part = e.part(plan::Part::kCareful);
  const ChunkSizes sizes{b.key.v_head_dim, e.lanes(), b.key.tiling.micro_vectors};
  b.unsettled.for_each("careful_row", e.index(0), b.item.rows, [&](Index row) {
    for_chunks(e, "careful_dims", sizes, [&](const Chunk& chunk) {
      const auto values = [&](Index key, int j, Index dim) {
        const VectorPart part_of_row{e.lanes(), chunk.elements(j, e.lanes())};
        const Index first = e.add(e.mul(key, b.v.rows.stride), dim);
        return Float{widen(e, b.v.load(b.v.rows.data, first, part_of_row), b.v.dtype)};
      };
      const auto weight = [&](Index key) { return b.s.at(row, e.sub(key, step.kv)); };
      emit_careful_product(e, {b.o, row, chunk, step.first, step.last, weight, values});
    });
  });
}

// for (d = 0; d < v_padded; d += 2 * lanes): of the two vectors at d, the first holds the lower and the second the upper four
// dims of each eight. Rows of reals are in order.
void emit_dims_in_order(Emitter& e, RowBlock& b, Index row) {
  const int lanes = e.lanes();
  if (operands_of(e).width == lanes) return;
  e.for_range("dims_in_order", e.index(0), e.index(b.o.stride), e.index(2 * lanes), [&](Index d) {
    const Ptr address[2] = {b.o.at(row, d), b.o.at(row, e.add(d, e.index(lanes)))};
    llvm::Value* lower = e.load_reals(address[0], vector_bytes(e)).value;
    llvm::Value* upper = e.load_reals(address[1], vector_bytes(e)).value;
    for (int half : {0, 1}) e.store(fours_in_turn(e, lower, upper, half), address[half], vector_bytes(e));
  });
}

}  // namespace flexjit::codegen
