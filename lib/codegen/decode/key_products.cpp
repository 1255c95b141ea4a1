// S = Q K^T of one key step of few rows: lanes along head_dim, so that rows of K are read as they lie, whole lines of the cache
// behind a prefetch each; at the end of the dims each accumulator is reduced to one score.
#include "codegen/decode/row_block.h"
#include "codegen/emit/lane_transpose.h"

namespace flexjit::codegen {
namespace {

// acc[r][i] = 0;
// for (d = 0; d < head_dim; d += a cache line of K) { prefetch; acc[r][i] += q[row + r][d..] * k[key i][d..]; }   lane by lane
// Vector by vector, unrolled; the last vector is cut.
Values key_products(Emitter& e, RowBlock& b, const KeyStep& step, const Keys& keys, const RowChunk& chunk) {
  const Operands operands = operands_of(e);
  const StreamedRows k = keys_of(e, b, step);
  const std::int64_t line = kCacheLine / k.element_bytes();
  const std::int64_t whole = k.dims / line * line;
  const Ptr queries = b.q.at(chunk.row);
  // Of rows without gaps the lines that follow each other, else a line of each key.
  const Ptr to_come = chunk.fetches ? k.to_come(e.add(step.kv, keys.column)) : Ptr{};
  const Index between = e.select(k.dense(), e.index(kCacheLine), k.row_bytes());
  const Index by_dim = e.index(k.element_bytes()), by_dim_dense = e.index(kKeys * k.element_bytes());
  const Index along = e.select(k.dense(), by_dim_dense, by_dim);
  const auto add_line = [&](Index dim, std::int64_t count, Values sums) {
    const Ptr lines = chunk.fetches ? e.anywhere(to_come, e.mul(dim, along)) : Ptr{};
    for (int i = 0; i < kKeys && chunk.fetches; ++i)
      e.prefetch(e.anywhere(lines, e.mul(between, e.index(i))), CacheLevel::kSecond);
    for (std::int64_t offset = 0; offset < count; offset += operands.width) {
      const Index at = e.add(dim, e.index(offset));
      const VectorPart part{operands.width, static_cast<int>(std::min<std::int64_t>(operands.width, count - offset))};
      CellVectors vectors;
      for (const Ptr& key : keys.row) vectors.push_back(as_cells(e, k.load(key, at, part), k.dtype));
      for (int r = 0; r < chunk.rows; ++r) {
        const Ptr address = at_element(e, queries, e.add(at, e.index(r * b.at.q_stride)), operands.stored_as);
        for (int i = 0; i < kKeys; ++i) {
          llvm::Value*& sum = sums[static_cast<std::size_t>(r * kKeys + i)];
          const Cells query{e.ir().CreateAlignedLoad(operands.type, address.value, llvm::Align(4 * e.lanes()))};
          sum = multiply_add(e, query, vectors[static_cast<std::size_t>(i)], Float{sum}).value;
        }
      }
    }
    return sums;
  };
  Values acc(static_cast<std::size_t>(kKeys * chunk.rows), e.broadcast(e.real(0.0)).value);
  acc = e.for_range("qk", e.index(0), e.index(whole), e.index(line), acc,
                    [&](Index dim, const Values& sums) { return add_line(dim, line, sums); });
  return whole == k.dims ? acc : add_line(e.index(whole), k.dims - whole, acc);
}

}  // namespace

// Where a neighbour lies outside the span, the nearest key inside it is read again: its score is masked later.
void emit_key_numbers(Emitter& e, RowBlock& b, const KeyStep& step) {
  const SourceScope part = e.part(plan::Part::kQueryKey);
  auto& ir = e.ir();
  const Int first = e.narrow(step.first), last = e.narrow(e.sub(step.last, e.index(1)));
  for (int offset = 0; offset < b.key.tiling.kv_tile; offset += e.lanes()) {
    const Int keys = e.add(e.narrow(e.add(step.kv, e.index(offset))), e.lane_numbers());
    auto* below = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, keys.value, e.broadcast(last).value);
    auto* inside = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smax, below, e.broadcast(first).value);
    e.store(inside, b.numbers.at(e.index(offset)), 4 * e.lanes());
  }
}

void for_keys(Emitter& e, RowBlock& b, const KeyStep& step, llvm::function_ref<void(const Keys&)> body) {
  const SourceScope part = e.part(plan::Part::kQueryKey);
  const Index from = e.bit_and(e.sub(step.first, step.kv), e.index(-kKeys));
  e.for_range("keys", from, e.sub(step.last, step.kv), e.index(kKeys), [&](Index column) {
    Keys keys{{}, column};
    const StreamedRows k = keys_of(e, b, step);
    for (int i = 0; i < kKeys; ++i) {
      const Index key = e.widen(b.numbers.load(e.add(column, e.index(i))));
      keys.row[i] = k.row(key);
    }
    body(keys);
  });
}

void emit_key_products(Emitter& e, RowBlock& b, const KeyStep& step, const Keys& keys) {
  for_chunks_of_rows(e, b, "score_rows", [&](const RowChunk& chunk) {
    const Values acc = key_products(e, b, step, keys, chunk);
    for (int r = 0; r < chunk.rows; ++r) {
      llvm::Value* scores = sum_four(e, llvm::ArrayRef<llvm::Value*>(acc).slice(static_cast<std::size_t>(kKeys * r), kKeys));
      e.store(scores, b.s.at(e.add(chunk.row, e.index(r)), keys.column), 16);
    }
  });
}

}  // namespace flexjit::codegen
