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
  const auto add_line = [&](Index dim, std::int64_t count, Values sums) {
    const Index lines = e.mul(dim, keys.between_lines);
    for (int i = 0; i < kKeys && chunk.fetches; ++i) e.prefetch(e.anywhere(keys.line[i], lines), CacheLevel::kSecond);
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

void for_keys(Emitter& e, RowBlock& b, const KeyStep& step, llvm::function_ref<void(const Keys&)> body) {
  const SourceScope part = e.part(plan::Part::kQueryKey);
  emit_rows_of_step(e, b, step);
  const Index from = e.bit_and(e.sub(step.first, step.kv), e.index(-kKeys));
  e.for_range("keys", from, e.sub(step.last, step.kv), e.index(kKeys), [&](Index column) {
    Keys keys{{}, {}, {}, column};
    const StreamedRows k = keys_of(e, b, step);
    // Lines of rows without gaps are prefetched in the order of addresses, whatever the order of the loads: lines of several
    // rows in turn come half as fast.
    const Bool dense =
        e.equal(k.bytes_to_come(column, e.add(column, e.index(kKeys - 1))), e.index((kKeys - 1) * k.dense_bytes()));
    const Ptr first_line = k.row_to_come(column);
    for (int i = 0; i < kKeys; ++i) {
      const Index of_key = e.add(column, e.index(i));
      keys.row[i] = k.row(b.k_rows.load(of_key));
      keys.line[i] = e.select(dense, e.at_byte(first_line, i * kCacheLine), k.row_to_come(of_key));
    }
    keys.between_lines = e.select(dense, e.index(kKeys * k.element_bytes()), e.index(k.element_bytes()));
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
