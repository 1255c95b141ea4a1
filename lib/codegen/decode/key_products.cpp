// S = Q K^T of one key step of few rows: lanes along head_dim, so that rows of K are read as they lie, whole lines of the cache
// behind a prefetch each; at the end of the dims each accumulator is reduced to one score.
#include <bit>

#include "codegen/decode/row_block.h"
#include "codegen/emit/lane_transpose.h"

namespace flexjit::codegen {
namespace {

// The keys first .. first + count - 1 of four.
struct KeysAtOnce {
  int first, count;
};

// acc[r][i] = 0;
// for (d = 0; d < head_dim; d += a cache line of K) { prefetch; acc[r][i] += q[row + r][d..] * k[key first + i][d..]; }   lane
// by lane. Vector by vector, unrolled; the last vector is cut.
Values key_products(Emitter& e, RowBlock& b, const KeyStep& step, const Keys& keys, const RowChunk& chunk, KeysAtOnce at_once) {
  const Operands operands = operands_of(e);
  const StreamedRows k = keys_of(e, b, step, chunk.from);
  const std::int64_t line = kCacheLine / k.element_bytes();
  const std::int64_t whole = k.dims / line * line;
  const Ptr queries = b.q.at(chunk.row);
  llvm::SmallVector<RowPart, kKeys> rows;
  for (int i = at_once.first; i < at_once.first + at_once.count; ++i) {
    const Index column = e.add(keys.column, e.index(i));
    rows.push_back({chunk.from == RowsFrom::kScratch ? b.real_rows.at(column) : keys.row[i], column, keys.number[i], {}});
  }
  const auto add_line = [&](Index dim, std::int64_t count, Values sums) {
    const Index lines = e.mul(dim, keys.between_lines);
    for (int i = 0; i < at_once.count && chunk.fetches(); ++i)
      e.prefetch(e.anywhere(keys.line[at_once.first + i], lines), CacheLevel::kSecond);
    Float scales[kKeys];
    for (std::int64_t offset = 0; offset < count; offset += k.at_once()) {
      const VectorPart part{k.at_once(), static_cast<int>(std::min<std::int64_t>(k.at_once(), count - offset))};
      llvm::SmallVector<CellVectors, kKeys> vectors;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const RowPart row{at_element(e, rows[i].at_dim, dim, k.dtype), rows[i].column, rows[i].number, dim};
        if (k.is_next_group(offset)) scales[i] = k.scale_of(row, offset);
        vectors.push_back(k.cells(row, offset, part, scales[i]));
      }
      for (std::size_t j = 0; j < vectors.front().size(); ++j) {
        const Index at = e.add(dim, e.index(offset + static_cast<std::int64_t>(j) * operands.width));
        for (int r = 0; r < chunk.rows; ++r) {
          const Ptr address = at_element(e, queries, e.add(at, e.index(r * b.at.q_stride)), operands.stored_as);
          for (int i = 0; i < at_once.count; ++i) {
            llvm::Value*& sum = sums[static_cast<std::size_t>(r * at_once.count + i)];
            const Cells query{e.ir().CreateAlignedLoad(operands.type, address.value, llvm::Align(4 * e.lanes()))};
            sum = multiply_add(e, query, vectors[static_cast<std::size_t>(i)][j], Float{sum}).value;
          }
        }
      }
    }
    return sums;
  };
  Values acc(static_cast<std::size_t>(at_once.count * chunk.rows), e.broadcast(e.real(0.0)).value);
  acc = e.for_range("qk", e.index(0), e.index(whole), e.index(line), acc,
                    [&](Index dim, const Values& sums) { return add_line(dim, line, sums); });
  return whole == k.dims ? acc : add_line(e.index(whole), k.dims - whole, acc);
}

// s[row + r][column ..] = the sums of acc[r][i], four at a time: those of one row, or two of each of two.
void store_scores(Emitter& e, RowBlock& b, const Values& acc, Index row, Index column, int keys) {
  const int rows_at_once = kKeys / keys;
  for (std::size_t i = 0; i < acc.size(); i += kKeys) {
    llvm::Value* sums = sum_four(e, llvm::ArrayRef<llvm::Value*>(acc).slice(i, kKeys));
    for (int r = 0; r < rows_at_once; ++r) {
      const int lanes[2] = {2 * r, 2 * r + 1};
      llvm::Value* of_row = rows_at_once == 1 ? sums : e.ir().CreateShuffleVector(sums, lanes);
      const Index to = e.add(row, e.index(static_cast<std::int64_t>(i) / keys + r));
      e.store(of_row, b.s.at(to, column), 4 * keys);
    }
  }
}

}  // namespace

void for_keys(Emitter& e, RowBlock& b, const KeyStep& step, llvm::function_ref<void(const Keys&)> body) {
  const SourceScope part = e.part(plan::Part::kQueryKey);
  const Index from = e.bit_and(e.sub(step.first, step.kv), e.index(-kKeys));
  e.for_range("keys", from, e.sub(step.last, step.kv), e.index(kKeys), [&](Index column) {
    Keys keys{{}, {}, {}, {}, column};
    const StreamedRows k = keys_of(e, b, step, RowsFrom::kMemory);
    // Lines of rows without gaps are prefetched in the order of addresses, whatever the order of the loads: lines of several
    // rows in turn come half as fast.
    const Bool dense =
        e.equal(k.bytes_to_come(column, e.add(column, e.index(kKeys - 1))), e.index((kKeys - 1) * k.dense_bytes()));
    const Ptr first_line = k.row_to_come(column);
    for (int i = 0; i < kKeys; ++i) {
      const Index of_key = e.add(column, e.index(i));
      keys.number[i] = b.k_rows.load(of_key);
      keys.row[i] = k.row(keys.number[i]);
      keys.line[i] = e.select(dense, e.at_byte(first_line, i * kCacheLine), k.row_to_come(of_key));
    }
    keys.between_lines = e.select(dense, e.index(kKeys * k.element_bytes()), e.index(k.element_bytes()));
    body(keys);
  });
}

void emit_key_products(Emitter& e, RowBlock& b, const KeyStep& step, const Keys& keys) {
  for_chunks_of_rows(e, b, "score_rows", [&](const RowChunk& chunk) {
    const auto accumulators = static_cast<unsigned>(b.key.tiling.micro_rows * b.key.tiling.micro_vectors);
    const int count = std::min(kKeys, static_cast<int>(std::bit_floor(accumulators / static_cast<unsigned>(chunk.rows))));
    for (int first = 0; first < kKeys; first += count) {
      const Values acc = key_products(e, b, step, keys, chunk, {first, count});
      store_scores(e, b, acc, chunk.row, e.add(keys.column, e.index(first)), count);
    }
  });
}

}  // namespace flexjit::codegen
