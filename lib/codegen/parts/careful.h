// The careful pass of both nests. A row whose output is not finite is computed once more, because a weight of 0 times a value
// of NaN or infinity is NaN, where a key without weight should take no part, and because sums of large values may overflow
// before they are divided. Scores are computed as before; the maxima and sums of the first pass are final. The second pass
// leaves out what takes no part, and sums values / kHeadroom. Only what is not finite comes here, so that the code is short
// rather than fast.
#pragma once

#include "codegen/emit/emitter.h"
#include "codegen/parts/product.h"

namespace flexjit::codegen {

// A key takes part unless its score is -inf or its weight is 0 even in fp64: a softmax weight whose log2, relative to the row's
// maximum, is less than kVanishes; a sigmoid weight where 2^x reaches kOverflows.
inline constexpr double kVanishes = -1075;
inline constexpr double kOverflows = 1024;

// In the place of a weight: less than 0, the key takes no part.
inline constexpr double kNoPart = -1;

// A power of two above the number of keys.
inline constexpr double kHeadroom = 0x1p32;

// A key that takes part has a weight above 0, as it has in fp64: times infinity that is infinity.
struct Weighted {
  Bool none;  // takes no part
  Float weight;
};
inline Float careful_weight(Emitter& e, const Weighted& x) {
  const Float least = e.real(e.real_bytes() == 8 ? 0x1p-1074 : 0x1p-149);
  const Float some = e.select(e.compare(FloatOrder::kLt, x.weight, least), least, x.weight);
  return e.select(x.none, e.real(kNoPart), some);
}

// What is dropped takes no part, as what is masked. `factor` is empty where all are 1.
inline Weighted with_factor(Emitter& e, const Weighted& x, Float factor) {
  if (!factor) return x;
  const Bool dropped = e.compare(FloatOrder::kEq, factor, e.real(0.0));
  return {e.logical_or(x.none, dropped), e.mul(x.weight, factor)};
}

// O += P V of one row and chunk of value dims.
struct CarefulProduct {
  const RealRows& o;
  Index row;
  Chunk chunk;
  Index begin, end;                                               // keys
  llvm::function_ref<Ptr(Index key)> weight;                      // where the weight lies
  llvm::function_ref<Float(Index key, int j, Index dim)> values;  // vector j of the chunk, at dim
};
// for (k = begin; k < end; ++k) if (weight[k] >= 0) o[row][dims] += weight[k] * V[k][dims] / kHeadroom
inline void emit_careful_product(Emitter& e, const CarefulProduct& product) {
  const auto dims_at = [&](int j) { return e.add(product.chunk.dim, e.index(std::int64_t{j} * e.lanes())); };
  Values sums;
  for (int j = 0; j < product.chunk.vectors; ++j) sums.push_back(product.o.load_vector(product.row, dims_at(j)).value);
  sums = e.for_range("careful", product.begin, product.end, e.index(1), sums, [&](Index key, const Values& so_far) {
    const Float weight = e.broadcast(e.load_real(product.weight(key)));
    Values next;
    for (int j = 0; j < product.chunk.vectors; ++j) {
      const Float values = product.values(key, j, dims_at(j)), sum{so_far[next.size()]};
      const Bool none = e.compare(FloatOrder::kLt, weight, e.real(0.0));
      next.push_back(e.select(none, sum, e.fma(weight, e.mul(values, e.real(1 / kHeadroom)), sum)).value);
    }
    return next;
  });
  for (int j = 0; j < product.chunk.vectors; ++j) {
    e.store(sums[static_cast<std::size_t>(j)], product.o.at(product.row, dims_at(j)), vector_bytes(e));
  }
}

}  // namespace flexjit::codegen
