// One row after another, one key after another.
#include "codegen/parts/careful.h"

namespace flexjit::codegen {

Float careful_weight(Emitter& e, Bool none, Float weight) {
  const Float least = e.real(e.real_bytes() == 8 ? 0x1p-1074 : 0x1p-149);
  const Float some = e.select(e.compare(FloatOrder::kLt, weight, least), least, weight);
  return e.select(none, e.real(kNoPart), some);
}

// for (k = begin; k < end; ++k) if (weight[k] >= 0) o[row][dims] += weight[k] * V[k][dims] / kHeadroom
void emit_careful_product(Emitter& e, const CarefulProduct& product) {
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
