// O += P V of one key step of few rows: micro-tiles of up to micro_rows rows by as many vectors of value dims as fit the
// registers. Rows of V are read as they lie, one after the other; of bf16, two that are interleaved, which leaves the value
// dims in another order; o keeps that order until the item is done.
#include <bit>

#include "codegen/decode/row_block.h"
#include "codegen/emit/lane_transpose.h"

namespace flexjit::codegen {
namespace {

// o[row..][dims of the chunk], kept in registers.
struct Target {
  VectorTile o;
  const StreamedRows& v;
  const RowChunk& rows;
  const Chunk& chunk;
  int width, chunks;  // dims of a chunk, chunks of a row
};

// The lines that a micro-tile prefetches with each key: as many of all tiles as a row has. Of rows without gaps they are those
// that follow each other, else a part of the row. Rows to come are taken to lie evenly from the first of the step on.
struct LinesToCome {
  LinesToCome(Emitter& emitter, RowBlock& b, const Target& target) : e(emitter), fetches(target.rows.fetches()) {
    if (!fetches) return;
    const StreamedRows& v = target.v;
    lines = (v.dense_bytes() + kCacheLine - 1) / kCacheLine;
    lines = (lines + target.chunks - 1) / target.chunks;
    first = v.row_to_come(e.index(0));
    by_key = v.bytes_to_come(e.index(0), e.index(1));
    if (target.chunks == 1) return;
    const std::int64_t bytes = lines * kCacheLine;
    const Bool dense = e.equal(by_key, e.index(v.dense_bytes()));
    const Index chunk{e.ir().CreateUDiv(target.chunk.dim.value, e.index(target.width).value)};
    first = e.anywhere(first, e.mul(chunk, e.select(dense, e.index(bytes * b.key.tiling.kv_tile), e.index(bytes))));
    by_key = e.select(dense, e.index(bytes), by_key);
  }
  // Of a column of the step; null where nothing is fetched.
  Ptr at(Index column) const {
    if (!fetches) return {llvm::ConstantPointerNull::get(e.ir().getPtrTy())};
    return e.anywhere(first, e.mul(column, by_key));
  }
  Ptr next(Ptr line) const { return fetches ? e.anywhere(line, by_key) : line; }
  void prefetch(Ptr line) const {
    for (std::int64_t i = 0; i < lines; ++i) e.prefetch(e.anywhere(line, e.index(i * kCacheLine)), CacheLevel::kSecond);
  }

  Emitter& e;
  bool fetches;
  std::int64_t lines = 0;
  Ptr first{};
  Index by_key{};
};

// acc[r][j] = o[row + r][dim + j];
// for (k = first; k < last; ++k) { prefetch; acc[r][j] += s[row + r][k - kv] * V[k][dim + j]; }
// o[row + r][dim + j] = acc[r][j];
void emit_reals(Emitter& e, RowBlock& b, const KeyStep& step, const Target& target) {
  const StreamedRows& v = target.v;
  const Values acc = target.o.load();
  const Ptr weights = b.s.at(target.rows.row);
  const Index begin = e.sub(step.first, step.kv), end = e.sub(step.last, step.kv);
  const LinesToCome to_come(e, b, target);
  const auto load = [&](Ptr line, Index column) {
    to_come.prefetch(line);
    const bool in_scratch = target.rows.from == RowsFrom::kScratch;
    const Ptr place = in_scratch ? b.real_rows.at(column) : b.v_rows.load(column);
    const Int number = v.scales ? b.k_rows.load(column) : Int{};
    const RowPart row{at_element(e, place, target.chunk.dim, v.dtype), column, number, target.chunk.dim};
    CellVectors cells;
    Float scale;
    for (int j = 0; j < target.o.vectors;) {
      const int count = std::min(v.at_once() / e.lanes(), target.o.vectors - j);
      const int last = target.chunk.elements(j + count - 1, e.lanes());
      const VectorPart part{count * e.lanes(), (count - 1) * e.lanes() + last};
      const std::int64_t offset = std::int64_t{j} * e.lanes();
      if (v.is_next_group(offset)) scale = v.scale_of(row, offset);
      cells.append(v.cells(row, offset, part, scale));
      j += count;
    }
    return cells;
  };
  const Product product{.name = "pv",
                        .begin = begin,
                        .end = end,
                        .rows = target.o.rows,
                        .factors = weights,
                        .factor_stride = b.s.stride,
                        .vectors = to_come.at(begin)};
  const auto next = [&](Ptr line) { return to_come.next(line); };
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
  const StreamedRows& v = target.v;
  const int width = 2 * e.lanes();
  const LinesToCome to_come(e, b, target);
  const Ptr weights = b.s.at(target.rows.row);
  const Index from = e.bit_and(e.sub(step.first, step.kv), e.index(-2));
  Values carried = target.o.load();
  carried.push_back(to_come.at(from).value);
  carried = e.for_range("pv", from, e.sub(step.last, step.kv), e.index(2), carried, [&](Index k, const Values& so_far) {
    const Ptr line{so_far.back()}, second = to_come.next(line);
    to_come.prefetch(line);
    to_come.prefetch(second);
    const Ptr places = b.v_rows.at(k);
    const Ptr rows[2] = {at_element(e, e.load_pointer(places), target.chunk.dim, v.dtype),
                         at_element(e, e.load_pointer(e.at_byte(places, 8)), target.chunk.dim, v.dtype)};
    llvm::SmallVector<llvm::Value*, 8> pairs;
    for (int j = 0; j < target.chunk.vectors; ++j) {
      const Index dim = e.index(std::int64_t{j} * width);
      const VectorPart part{width, target.chunk.elements(j, width)};
      llvm::Value* both[2];
      for (int i = 0; i < 2; ++i) both[i] = v.load(rows[i], dim, part);
      for (int half : {0, 1}) pairs.push_back(interleave(e, both[0], both[1], half));
    }
    const Values acc(so_far.begin(), so_far.end() - 1);
    Values next = add_pairs(e, b, acc, e.at(weights, e.lshr(k, e.index(1))), pairs);
    next.push_back(to_come.next(second).value);
    return next;
  });
  carried.pop_back();
  target.o.store(carried);
}

// The value dims in chunks of equal width, as few as fit the registers; the last may be narrower and end inside a vector of V.
void emit_rows(Emitter& e, RowBlock& b, const KeyStep& step, const RowChunk& rows) {
  const StreamedRows v = values_of(e, b, step, rows.from);
  const int width = operands_of(e).width;
  const int vectors = width / e.lanes();  // of o for one of V
  const int accumulators = b.key.tiling.micro_rows * b.key.tiling.micro_vectors / rows.rows;
  const int total = static_cast<int>(b.o.stride) / width;
  ChunkSizes sizes{b.key.v_head_dim, width, equal_width(total, accumulators / vectors)};
  // What is converted at once has one scale.
  if (v.scales) sizes.vectors = static_cast<int>(std::bit_floor(static_cast<unsigned>(sizes.vectors)));
  const int chunk_dims = sizes.vectors * width, chunks = (b.key.v_head_dim + chunk_dims - 1) / chunk_dims;
  for_chunks(e, "value_dims", sizes, [&](const Chunk& chunk) {
    const VectorTile o{e, b.o.at(rows.row, chunk.dim), b.o.stride, rows.rows, chunk.vectors * vectors};
    const Target target{o, v, rows, chunk, chunk_dims, chunks};
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
  for_chunks_of_rows(e, b, "value_rows", [&](const RowChunk& rows) { emit_rows(e, b, step, rows); });
}

// for (r = 0; r < rows; ++r) if (unsettled[r]) for (k = first; k < last; ++k) o[r] += s[r][k - kv] * V[k] / kHeadroom
void emit_careful_values(Emitter& e, RowBlock& b, const KeyStep& step) {
  const SourceScope part = e.part(plan::Part::kCareful);
  const ChunkSizes sizes{b.key.v_head_dim, e.lanes(), b.key.tiling.micro_vectors};
  b.unsettled.for_each("careful_row", e.index(0), b.item.rows, [&](Index row) {
    const StreamedRows v = values_of(e, b, step, RowsFrom::kMemory);
    for_chunks(e, "careful_dims", sizes, [&](const Chunk& chunk) {
      const auto values = [&](Index key, int j, Index dim) {
        const VectorPart part_of_row{e.lanes(), chunk.elements(j, e.lanes())};
        const Index column = e.sub(key, step.kv);
        const Ptr place = b.v_rows.load(column);
        if (!b.is_quantised) return Float{widen(e, v.load(place, dim, part_of_row), v.dtype)};
        const Int number = v.scales ? b.k_rows.load(column) : Int{};
        const RowPart at{at_element(e, place, dim, v.dtype), column, number, dim};
        return Float{v.cells(at, 0, part_of_row, v.scale_of(at, 0))[0].value};
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
