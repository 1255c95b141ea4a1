// S = Q K^T of one key step: 4 keys x up to micro_rows rows at a time, lanes along head_dim, so that rows of K are read as they
// lie; at the end of the dims each accumulator is reduced to one score.
#include <llvm/IR/IntrinsicsX86.h>

#include "codegen/nests/decode.h"
#include "codegen/emit/storage.h"

namespace flexjit::codegen {
namespace {

constexpr int kKeys = 4;
constexpr std::int64_t kCacheLine = 64;

}  // namespace

// for (i = 0; i < kv_tile; ++i) keys[i] = clamp(kv + i, first, last - 1);
// for (c = (first - kv) & -4; kv + c < last; c += 4) for row chunk: s[row..][c..c+3] = ...;
// Where a neighbour lies outside the span, the nearest key inside it is read again: its score is masked later.
void DecodeEmitter::emit_scores(const Step& step) {
  const SourceScope part = e_.part(plan::Part::kQueryKey);
  auto& ir = e_.ir();
  const Int first = e_.narrow(step.first), last = e_.narrow(e_.sub(step.last, e_.index(1)));
  for (int offset = 0; offset < key_.tiling.kv_tile; offset += e_.lanes()) {
    const Int keys = e_.add(e_.narrow(e_.add(step.kv, e_.index(offset))), e_.lane_numbers());
    auto* below = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, keys.value, e_.broadcast(last).value);
    auto* inside = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smax, below, e_.broadcast(first).value);
    e_.store(inside, key_number_at(e_.index(offset)), 4 * e_.lanes());
  }
  const Index from{ir.CreateAnd(e_.sub(step.first, step.kv).value, e_.index(-kKeys).value)};
  e_.for_range("keys", from, e_.sub(step.last, step.kv), e_.index(kKeys), [&](Index column) {
    Keys keys;
    keys.column = column;
    for (int i = 0; i < kKeys; ++i) {
      const Index key = e_.widen(e_.load_int(key_number_at(e_.add(column, e_.index(i)))));
      keys.row[i] = at_element(e_, item_.k.data, e_.mul(key, item_.k.stride), key_.types.kv);
    }
    for_row_chunks("score_rows", [&](Index row, int rows) { emit_score_rows(keys, row, rows); });
  });
}

// for r: s[row + r][column .. column + 3] = reduce_four(products of row r)
void DecodeEmitter::emit_score_rows(const Keys& keys, Index row, int rows) {
  const Values acc = emit_products(keys, row, rows);
  for (int r = 0; r < rows; ++r) {
    llvm::Value* scores = reduce_four(llvm::ArrayRef<llvm::Value*>(acc).slice(static_cast<std::size_t>(kKeys * r), kKeys));
    e_.store(scores, score_at(e_.add(row, e_.index(r)), keys.column), 16);
  }
}

// acc[r][i] = 0;
// for (d = 0; d < head_dim; d += a cache line of K) { prefetch; acc[r][i] += q[row + r][d..] * k[key i][d..]; }   lane by lane
Values DecodeEmitter::emit_products(const Keys& keys, Index row, int rows) {
  const std::int64_t element = static_cast<std::int64_t>(size_of(key_.types.kv));
  const std::int64_t line = kCacheLine / element;
  const std::int64_t whole = key_.head_dim / line * line;
  const std::int64_t row_floats = pairs_ ? scratch_.q_stride / 2 : scratch_.q_stride;
  const Ptr queries = scratch_at(scratch_.q, row, row_floats, e_.index(0));
  const Index ahead = e_.mul(item_.k.stride, e_.index(rows_ahead(key_.head_dim * element)));
  const auto prefetch = [&](Index dim) {
    for (const Ptr& key : keys.row) {
      auto* type = storage_type(e_, key_.types.kv);
      emit_prefetch(Ptr{e_.ir().CreateGEP(type, key.value, e_.add(ahead, dim).value)});
    }
  };
  Values acc(static_cast<std::size_t>(kKeys * rows), e_.broadcast(e_.constant(0.0F)).value);
  acc = e_.for_range("qk", e_.index(0), e_.index(whole), e_.index(line), acc, [&](Index dim, const Values& sums) {
    prefetch(dim);
    return emit_vector_products(keys, queries, dim, static_cast<int>(line), sums);
  });
  if (whole == key_.head_dim) return acc;
  prefetch(e_.index(whole));
  return emit_vector_products(keys, queries, e_.index(whole), static_cast<int>(key_.head_dim - whole), acc);
}

// The products of dims [dim, dim + count), vector by vector, unrolled; the last vector is cut.
Values DecodeEmitter::emit_vector_products(const Keys& keys, Ptr queries, Index dim, int count, const Values& acc) {
  auto& ir = e_.ir();
  const int width = pairs_ ? 2 * e_.lanes() : e_.lanes();
  const DType stored_as = pairs_ ? DType::kBF16 : DType::kF32;
  const std::int64_t row_elements = scratch_.q_stride;
  auto* pair_type = llvm::FixedVectorType::get(ir.getBFloatTy(), static_cast<unsigned>(2 * e_.lanes()));
  Values sums = acc;
  for (int offset = 0; offset < count; offset += width) {
    const Index at = e_.add(dim, e_.index(offset));
    llvm::SmallVector<llvm::Value*, kKeys> k;
    for (const Ptr& key : keys.row) {
      llvm::Value* loaded =
          load_first(at_element(e_, key, at, key_.types.kv), key_.types.kv, width, std::min(width, count - offset));
      k.push_back(pairs_ ? ir.CreateBitCast(loaded, pair_type) : widen(e_, loaded, key_.types.kv));
    }
    for (std::size_t r = 0; r < acc.size() / kKeys; ++r) {
      const Index in_row = e_.add(at, e_.index(static_cast<std::int64_t>(r) * row_elements));
      const Ptr address = at_element(e_, queries, in_row, stored_as);
      for (std::size_t i = 0; i < kKeys; ++i) {
        llvm::Value*& sum = sums[r * kKeys + i];
        if (pairs_) {
          auto* q = ir.CreateAlignedLoad(pair_type, address.value, llvm::Align(64));
          sum = ir.CreateIntrinsic(llvm::Intrinsic::x86_avx512bf16_dpbf16ps_512, {}, {sum, q, k[i]});
        } else {
          sum = e_.fma(e_.load_vector(address, 4 * e_.lanes()), Float{k[i]}, Float{sum}).value;
        }
      }
    }
  }
  return sums;
}

// Four vectors -> a vector of their four sums: two steps that add halves of pairs inside each 128 bits, then the 128-bit parts.
llvm::Value* DecodeEmitter::reduce_four(llvm::ArrayRef<llvm::Value*> vectors) {
  auto& ir = e_.ir();
  const int lanes = e_.lanes();
  // Within each group of four lanes, takes `from` of a, b where entries above 3 mean b.
  const auto pick = [&](llvm::Value* a, llvm::Value* b, std::array<int, 4> from) {
    llvm::SmallVector<int, 16> mask;
    for (int group = 0; group < lanes; group += 4) {
      for (int lane : from) mask.push_back(lane < 4 ? group + lane : lanes + group + lane - 4);
    }
    return ir.CreateShuffleVector(a, b, mask);
  };
  const auto add_pairs = [&](llvm::Value* a, llvm::Value* b) {
    return ir.CreateFAdd(pick(a, b, {0, 4, 1, 5}), pick(a, b, {2, 6, 3, 7}));
  };
  llvm::Value* low = add_pairs(vectors[0], vectors[1]);
  llvm::Value* high = add_pairs(vectors[2], vectors[3]);
  llvm::Value* sum = ir.CreateFAdd(pick(low, high, {0, 1, 4, 5}), pick(low, high, {2, 3, 6, 7}));
  for (int width = lanes / 2; width >= 4; width /= 2) {
    llvm::SmallVector<int, 16> lower, upper;
    for (int i = 0; i < width; ++i) {
      lower.push_back(i);
      upper.push_back(width + i);
    }
    sum = ir.CreateFAdd(ir.CreateShuffleVector(sum, lower), ir.CreateShuffleVector(sum, upper));
  }
  return sum;
}

}  // namespace flexjit::codegen
