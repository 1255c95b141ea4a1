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
  Ptr rows[kKeys];
  for (int i = 0; i < at_once.count; ++i) {
    const int key = at_once.first + i;
    rows[i] = chunk.from == RowsFrom::kScratch ? k.row(keys.number[key]) : keys.row[key];
  }
  // Of rows without gaps the lines that follow each other, else a line of each key.
  const Ptr to_come = chunk.fetches() ? k.to_come(e.add(step.kv, e.add(keys.column, e.index(at_once.first)))) : Ptr{};
  const Index between = e.select(k.dense(), e.index(kCacheLine), k.row_bytes());
  const Index by_dim = e.index(k.element_bytes()), by_dim_dense = e.index(at_once.count * k.element_bytes());
  const Index along = e.select(k.dense(), by_dim_dense, by_dim);
  const auto add_line = [&](Index dim, std::int64_t count, Values sums) {
    if (chunk.fetches()) {
      const Ptr lines = e.anywhere(to_come, e.mul(dim, along));
      for (int i = 0; i < at_once.count; ++i) e.prefetch(e.anywhere(lines, e.mul(between, e.index(i))), CacheLevel::kSecond);
    }
    for (std::int64_t offset = 0; offset < count; offset += k.at_once()) {
      const VectorPart part{k.at_once(), static_cast<int>(std::min<std::int64_t>(k.at_once(), count - offset))};
      llvm::SmallVector<CellVectors, kKeys> vectors;
      for (int i = 0; i < at_once.count; ++i) {
        const Ptr at_dim = at_element(e, rows[i], dim, k.dtype);
        vectors.push_back(k.cells(at_dim, keys.number[at_once.first + i], dim, offset, part));
      }
      for (std::size_t j = 0; j < vectors.front().size(); ++j) {
        const Index at = e.add(dim, e.index(offset + static_cast<std::int64_t>(j) * operands.width));
        for (int r = 0; r < chunk.rows; ++r) {
          const Ptr address = at_element(e, queries, e.add(at, e.index(r * b.at.q_stride)), operands.stored_as);
          const Cells query{e.ir().CreateAlignedLoad(operands.type, address.value, llvm::Align(4 * e.lanes()))};
          for (int i = 0; i < at_once.count; ++i) {
            llvm::Value*& sum = sums[static_cast<std::size_t>(r * at_once.count + i)];
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
    Keys keys{{}, {}, column};
    const StreamedRows k = keys_of(e, b, step, RowsFrom::kMemory);
    for (int i = 0; i < kKeys; ++i) {
      keys.number[i] = e.widen(b.numbers.load(e.add(column, e.index(i))));
      keys.row[i] = k.row(keys.number[i]);
    }
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
