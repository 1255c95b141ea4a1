// Products of whole lines of the cache, each behind a prefetch, and the sums of four accumulators at once.
#include "codegen/parts/key_products.h"

#include "codegen/emit/cells.h"
#include "codegen/emit/lane_transpose.h"

namespace flexjit::codegen {
namespace {

constexpr std::int64_t kCacheLine = 64;

// What was loaded of K, as the products take it.
Cells as_operand(Emitter& e, llvm::Value* loaded, DType dtype) {
  switch (e.arithmetic()) {
    case plan::Arithmetic::kBF16: return {e.ir().CreateBitCast(loaded, operands_of(e).type)};
    case plan::Arithmetic::kF32:
    case plan::Arithmetic::kF64: break;
  }
  return {widen(e, loaded, dtype)};
}

}  // namespace

// Where a neighbour lies outside the span, the nearest key inside it is read again: its score is masked later.
void KeyProducts::number_keys(const KeyStep& step) const {
  auto& ir = e.ir();
  const Int first = e.narrow(step.first), last = e.narrow(e.sub(step.last, e.index(1)));
  for (int offset = 0; offset < k.step; offset += e.lanes()) {
    const Int keys = e.add(e.narrow(e.add(step.kv, e.index(offset))), e.lane_numbers());
    auto* below = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, keys.value, e.broadcast(last).value);
    auto* inside = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smax, below, e.broadcast(first).value);
    e.store(inside, numbers.at(e.index(offset)), 4 * e.lanes());
  }
}

void KeyProducts::for_keys(const KeyStep& step, llvm::function_ref<void(const Keys&)> body) const {
  const SourceScope part = e.part(plan::Part::kQueryKey);
  number_keys(step);
  const Index from{e.ir().CreateAnd(e.sub(step.first, step.kv).value, e.index(-kKeys).value)};
  e.for_range("keys", from, e.sub(step.last, step.kv), e.index(kKeys), [&](Index column) {
    Keys keys;
    keys.column = column;
    for (int i = 0; i < kKeys; ++i) keys.row[i] = k.row(e.widen(numbers.load(e.add(column, e.index(i)))));
    body(keys);
  });
}

void KeyProducts::emit(const Keys& keys, Index row, int rows) const {
  const Values acc = products(keys, row, rows);
  for (int r = 0; r < rows; ++r) {
    llvm::Value* scores = sum_four(e, llvm::ArrayRef<llvm::Value*>(acc).slice(static_cast<std::size_t>(kKeys * r), kKeys));
    e.store(scores, s.at(e.add(row, e.index(r)), keys.column), 16);
  }
}

// acc[r][i] = 0;
// for (d = 0; d < head_dim; d += a cache line of K) { prefetch; acc[r][i] += q[row + r][d..] * k[key i][d..]; }   lane by lane
Values KeyProducts::products(const Keys& keys, Index row, int rows) const {
  const std::int64_t line = kCacheLine / k.element_bytes();
  const std::int64_t whole = k.dims / line * line;
  const Ptr queries = q.at(row);
  const Index ahead = k.ahead();
  const auto prefetch = [&](Index dim) {
    for (const Ptr& key : keys.row) k.prefetch(key, e.add(ahead, dim));
  };
  Values acc(static_cast<std::size_t>(kKeys * rows), e.broadcast(e.constant(0.0F)).value);
  acc = e.for_range("qk", e.index(0), e.index(whole), e.index(line), acc, [&](Index dim, const Values& sums) {
    prefetch(dim);
    return add_products(keys, queries, dim, static_cast<int>(line), sums);
  });
  if (whole == k.dims) return acc;
  prefetch(e.index(whole));
  return add_products(keys, queries, e.index(whole), static_cast<int>(k.dims - whole), acc);
}

// The products of dims [dim, dim + count), vector by vector, unrolled; the last vector is cut.
Values KeyProducts::add_products(const Keys& keys, Ptr queries, Index dim, int count, Values sums) const {
  const Operands operands = operands_of(e);
  for (int offset = 0; offset < count; offset += operands.width) {
    const Index at = e.add(dim, e.index(offset));
    llvm::SmallVector<Cells, kKeys> vectors;
    for (const Ptr& key : keys.row) {
      const VectorPart part{operands.width, std::min(operands.width, count - offset)};
      vectors.push_back(as_operand(e, load_first(e, at_element(e, key, at, k.dtype), k.dtype, part), k.dtype));
    }
    for (std::size_t r = 0; r < sums.size() / kKeys; ++r) {
      const Index in_row = e.add(at, e.index(static_cast<std::int64_t>(r) * q_stride));
      const Ptr address = at_element(e, queries, in_row, operands.stored_as);
      for (std::size_t i = 0; i < kKeys; ++i) {
        llvm::Value*& sum = sums[r * kKeys + i];
        const Cells query{e.ir().CreateAlignedLoad(operands.type, address.value, llvm::Align(4 * e.lanes()))};
        sum = multiply_add(e, query, vectors[i], Float{sum}).value;
      }
    }
  }
  return sums;
}

}  // namespace flexjit::codegen
