// Products of weights with rows of V: of reals by the micro-kernel of product.h, of bf16 pair by pair.
#include "codegen/parts/value_products.h"

#include "codegen/parts/careful.h"

namespace flexjit::codegen {
namespace {

constexpr std::int64_t kCacheLine = 64;

// Of each 128 bits of a and b, the lower or the upper four 16-bit elements in turn: a, b, a, b, ...
llvm::Value* interleave(Emitter& e, llvm::Value* a, llvm::Value* b, int half) {
  const int width = 2 * e.lanes();
  llvm::SmallVector<int, 32> mask;
  for (int group = 0; group < width; group += 8) {
    for (int i = 4 * half; i < 4 * half + 4; ++i) {
      mask.push_back(group + i);
      mask.push_back(width + group + i);
    }
  }
  return e.ir().CreateShuffleVector(a, b, mask);
}

}  // namespace

void ValueProducts::emit(const KeyStep& step, Index rows) const {
  const SourceScope part = e.part(plan::Part::kWeightsValues);
  for_row_chunks(e, "value_rows", rows, tiling.micro_rows, [&](Index row, int count) { emit_rows(step, row, count); });
}

// The value dims in chunks of equal width, as few as fit the registers; the last may be narrower and end inside a vector of V.
void ValueProducts::emit_rows(const KeyStep& step, Index row, int rows) const {
  const int width = operands_of(e).width;
  const int vectors = width / e.lanes();  // of o for one of V
  const int accumulators = tiling.micro_rows * tiling.micro_vectors / rows;
  const int total = (static_cast<int>(v.dims) + width - 1) / width;
  const ChunkSizes sizes{static_cast<int>(v.dims), width, equal_width(total, accumulators / vectors)};
  for_chunks(e, "value_dims", sizes, [&](const Chunk& chunk) {
    const Target target{{e, o.at(row, chunk.dim), o.stride, rows, chunk.vectors * vectors}, row, chunk};
    switch (e.arithmetic()) {
      case plan::Arithmetic::kBF16: return emit_pairs(step, target);
      case plan::Arithmetic::kF32:
      case plan::Arithmetic::kF64: return emit_reals(step, target);
    }
  });
}

// for (r = 0; r < rows; ++r) if (unsettled[r]) for (k = first; k < last; ++k) o[r] += s[r][k - kv] * V[k] / kHeadroom
void ValueProducts::emit_careful(const KeyStep& step, Index rows, const UnsettledRows& unsettled) const {
  const SourceScope part = e.part(plan::Part::kCareful);
  const ChunkSizes sizes{static_cast<int>(v.dims), e.lanes(), tiling.micro_vectors};
  unsettled.for_each("careful_row", e.index(0), rows, [&](Index row) {
    for_chunks(e, "careful_dims", sizes, [&](const Chunk& chunk) {
      const auto values = [&](Index key, int j, Index dim) {
        const Ptr address = v.at(e.add(e.mul(key, v.rows.stride), dim));
        return Float{widen(e, load_first(e, address, v.dtype, {e.lanes(), chunk.elements(j, e.lanes())}), v.dtype)};
      };
      const auto weight = [&](Index key) { return s.at(row, e.sub(key, step.kv)); };
      emit_careful_product(e, {o, row, chunk, step.first, step.last, weight, values});
    });
  });
}

// acc[r][j] = o[row + r][dim + j];
// for (k = first; k < last; ++k) { prefetch; acc[r][j] += s[row + r][k - kv] * V[k][dim + j]; }
// o[row + r][dim + j] = acc[r][j];
void ValueProducts::emit_reals(const KeyStep& step, const Target& target) const {
  const Values acc = target.tile.load();
  const Index first = e.add(e.mul(step.first, v.rows.stride), target.chunk.dim);
  const Ptr vectors = v.at(first), weights = s.at(target.row);
  const Index ahead = v.ahead();
  const Index lo = e.sub(step.first, step.kv), hi = e.sub(step.last, step.kv);
  const auto load = [&](Ptr values) {
    for (std::int64_t byte = 0; byte < target.tile.vectors * e.lanes() * v.element_bytes(); byte += kCacheLine) {
      v.prefetch(values, e.add(ahead, e.index(byte / v.element_bytes())));
    }
    llvm::SmallVector<Cells, 8> cells;
    for (int j = 0; j < target.tile.vectors; ++j) {
      const VectorPart part{e.lanes(), target.chunk.elements(j, e.lanes())};
      const Ptr address = at_element(e, values, e.index(std::int64_t{j} * e.lanes()), v.dtype);
      cells.push_back({widen(e, load_first(e, address, v.dtype, part), v.dtype)});
    }
    return cells;
  };
  target.tile.store(emit_product(e,
                                 {.name = "pv",
                                  .begin = lo,
                                  .end = hi,
                                  .rows = target.tile.rows,
                                  .factors = weights,
                                  .factor_stride = s.stride,
                                  .vectors = vectors,
                                  .load = load,
                                  .next = [&](Ptr values) { return at_element(e, values, v.rows.stride, v.dtype); }},
                                 acc));
}

// acc[r][j] = o[row + r][dim + j];
// for (k = (first - kv) & -2; kv + k < last; k += 2) { prefetch; acc[r][j] += weights of k, k + 1 * interleaved V rows; }
// o[row + r][dim + j] = acc[r][j];
// A key outside the span has weight 0, and the nearest key inside it is read.
void ValueProducts::emit_pairs(const KeyStep& step, const Target& target) const {
  auto& ir = e.ir();
  const int width = 2 * e.lanes();
  Values acc = target.tile.load();
  const Index ahead = v.ahead();
  const Ptr dims = v.at(target.chunk.dim), weights = s.at(target.row);
  const Index from{ir.CreateAnd(e.sub(step.first, step.kv).value, e.index(-2).value)};
  acc = e.for_range("pv", from, e.sub(step.last, step.kv), e.index(2), acc, [&](Index k, const Values& carried) {
    Ptr values[2];
    for (int i = 0; i < 2; ++i) {
      const Index key = e.widen(numbers.load(e.add(k, e.index(i))));
      values[i] = at_element(e, dims, e.mul(key, v.rows.stride), v.dtype);
    }
    llvm::SmallVector<llvm::Value*, 8> pairs;
    for (int j = 0; j < target.chunk.vectors; ++j) {
      const VectorPart part{width, target.chunk.elements(j, width)};
      const Index dim = e.index(std::int64_t{j} * width);
      llvm::Value* both[2];
      for (int i = 0; i < 2; ++i) {
        v.prefetch(values[i], e.add(ahead, dim));
        both[i] = load_first(e, at_element(e, values[i], dim, v.dtype), v.dtype, part);
      }
      for (int half : {0, 1}) pairs.push_back(interleave(e, both[0], both[1], half));
    }
    return add_pairs(carried, e.at(weights, Index{ir.CreateLShr(k.value, 1)}), pairs);
  });
  target.tile.store(acc);
}

// acc[r][j] += weight pair of row r * pairs[j]
Values ValueProducts::add_pairs(const Values& acc, Ptr weights, llvm::ArrayRef<llvm::Value*> pairs) const {
  auto& ir = e.ir();
  llvm::Type* type = operands_of(e).type;
  Values next;
  while (next.size() < acc.size()) {
    const auto r = static_cast<std::int64_t>(next.size() / pairs.size());
    const Int pair = e.broadcast(e.load_int(e.at(weights, e.index(r * s.stride))));
    for (llvm::Value* values : pairs) {
      const Cells of_row{ir.CreateBitCast(values, type)}, weight{ir.CreateBitCast(pair.value, type)};
      next.push_back(multiply_add(e, of_row, weight, Float{acc[next.size()]}).value);
    }
  }
  return next;
}

// for (d = 0; d < v_padded; d += 2 * lanes): of the two vectors at d, the first holds the lower and the second the upper four
// dims of each eight. Rows of reals are in order.
void ValueProducts::emit_dims_in_order(Index row) const {
  const int lanes = e.lanes();
  if (operands_of(e).width == lanes) return;
  e.for_range("dims_in_order", e.index(0), e.index(o.stride), e.index(2 * lanes), [&](Index d) {
    const Ptr address[2] = {o.at(row, d), o.at(row, e.add(d, e.index(lanes)))};
    llvm::Value* lower = e.load_reals(address[0], vector_bytes(e)).value;
    llvm::Value* upper = e.load_reals(address[1], vector_bytes(e)).value;
    for (int half : {0, 1}) {
      llvm::SmallVector<int, 16> mask;
      for (int i = 0; i < lanes; ++i) {
        const int dim = half * lanes + i;
        mask.push_back((dim % 8 < 4 ? 0 : lanes) + dim / 8 * 4 + dim % 4);
      }
      e.store(e.ir().CreateShuffleVector(lower, upper, mask), address[half], vector_bytes(e));
    }
  });
}

}  // namespace flexjit::codegen
