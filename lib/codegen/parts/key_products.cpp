// S = Q K^T of one key step of few rows: lanes along head_dim, so that rows of K are read as they lie, whole lines of the cache
// behind a prefetch each; at the end of the dims each accumulator is reduced to one score.
#include "codegen/emit/lane_transpose.h"
#include "codegen/parts/row_block.h"

namespace flexjit::codegen {
namespace {

constexpr std::int64_t kCacheLine = 64;

// Where a neighbour lies outside the span, the nearest key inside it is read again: its score is masked later.
void number_keys(Emitter& e, RowBlock& b, const KeyStep& step) {
  auto& ir = e.ir();
  const Int first = e.narrow(step.first), last = e.narrow(e.sub(step.last, e.index(1)));
  for (int offset = 0; offset < b.key.tiling.kv_tile; offset += e.lanes()) {
    const Int keys = e.add(e.narrow(e.add(step.kv, e.index(offset))), e.lane_numbers());
    auto* below = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, keys.value, e.broadcast(last).value);
    auto* inside = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smax, below, e.broadcast(first).value);
    e.store(inside, b.numbers.at(e.index(offset)), 4 * e.lanes());
  }
}

// What the products of some rows with some keys multiply.
struct Factors {
  Ptr queries;
  const Keys& keys;
};
struct Dims {
  Index dim;
  std::int64_t count;
};

// The products of dims [dim, dim + count), vector by vector, unrolled; the last vector is cut.
Values add_products(Emitter& e, RowBlock& b, const Factors& factors, const Dims& dims, Values sums) {
  const Operands operands = operands_of(e);
  for (std::int64_t offset = 0; offset < dims.count; offset += operands.width) {
    const Index at = e.add(dims.dim, e.index(offset));
    const auto count = static_cast<int>(std::min<std::int64_t>(operands.width, dims.count - offset));
    CellVectors vectors;
    for (const Ptr& key : factors.keys.row) {
      llvm::Value* loaded = load_first(e, at_element(e, key, at, b.k.dtype), b.k.dtype, {operands.width, count});
      vectors.push_back(as_cells(e, loaded, b.k.dtype));
    }
    for (std::size_t r = 0; r < sums.size() / kKeys; ++r) {
      const Index in_row = e.add(at, e.index(static_cast<std::int64_t>(r) * b.at.q_stride));
      const Ptr address = at_element(e, factors.queries, in_row, operands.stored_as);
      for (std::size_t i = 0; i < kKeys; ++i) {
        llvm::Value*& sum = sums[r * kKeys + i];
        const Cells query{e.ir().CreateAlignedLoad(operands.type, address.value, llvm::Align(4 * e.lanes()))};
        sum = multiply_add(e, query, vectors[i], Float{sum}).value;
      }
    }
  }
  return sums;
}

// acc[r][i] = 0;
// for (d = 0; d < head_dim; d += a cache line of K) { prefetch; acc[r][i] += q[row + r][d..] * k[key i][d..]; }   lane by lane
Values key_products(Emitter& e, RowBlock& b, const Keys& keys, Index row, int rows) {
  const std::int64_t line = kCacheLine / b.k.element_bytes();
  const std::int64_t whole = b.k.dims / line * line;
  const Factors factors{b.q.at(row), keys};
  const Index ahead = b.k.ahead();
  const auto prefetch = [&](Index dim) {
    for (const Ptr& key : keys.row) b.k.prefetch(key, e.add(ahead, dim));
  };
  Values acc(static_cast<std::size_t>(kKeys * rows), e.broadcast(e.real(0.0)).value);
  acc = e.for_range("qk", e.index(0), e.index(whole), e.index(line), acc, [&](Index dim, const Values& sums) {
    prefetch(dim);
    return add_products(e, b, factors, {dim, line}, sums);
  });
  if (whole == b.k.dims) return acc;
  prefetch(e.index(whole));
  return add_products(e, b, factors, {e.index(whole), b.k.dims - whole}, acc);
}

}  // namespace

void for_keys(Emitter& e, RowBlock& b, const KeyStep& step, llvm::function_ref<void(const Keys&)> body) {
  const SourceScope part = e.part(plan::Part::kQueryKey);
  number_keys(e, b, step);
  const Index from = e.bit_and(e.sub(step.first, step.kv), e.index(-kKeys));
  e.for_range("keys", from, e.sub(step.last, step.kv), e.index(kKeys), [&](Index column) {
    Keys keys;
    keys.column = column;
    for (int i = 0; i < kKeys; ++i) {
      const Index key = e.widen(b.numbers.load(e.add(column, e.index(i))));
      keys.row[i] = b.k.at(e.mul(key, b.k.rows.stride));
    }
    body(keys);
  });
}

void emit_key_products(Emitter& e, RowBlock& b, const Keys& keys, Index row, int rows) {
  const Values acc = key_products(e, b, keys, row, rows);
  for (int r = 0; r < rows; ++r) {
    llvm::Value* scores = sum_four(e, llvm::ArrayRef<llvm::Value*>(acc).slice(static_cast<std::size_t>(kKeys * r), kKeys));
    e.store(scores, b.s.at(e.add(row, e.index(r)), keys.column), 16);
  }
}

}  // namespace flexjit::codegen
