// Maximum, rescaling and weights of one row.
#include "codegen/parts/row_softmax.h"

#include "codegen/parts/careful.h"

namespace flexjit::codegen {

void RowSoftmax::for_rows(Index rows, llvm::function_ref<void(Index)> body) const {
  const SourceScope part = e.part(plan::Part::kWeights);
  e.for_range("weights", e.index(0), rows, e.index(1), body);
}

void RowSoftmax::emit(Index row, llvm::ArrayRef<Float> x) const {
  emit_max(row, x);
  const Float shift = shift_of(row);
  const Ptr sum_at = sum_lanes.at(row);
  Float sum = e.load_reals(sum_at, vector_bytes(e));
  std::int64_t offset = 0;
  for (Float score : x) {
    const Float weight = weights.weight_of_score(relative(score, shift));
    store_weights(row, offset, weight);
    sum = e.add(sum, weight);
    offset += e.lanes();
  }
  e.store(sum.value, sum_at, vector_bytes(e));
}

void RowSoftmax::emit_careful(Index row, llvm::ArrayRef<Float> x) const {
  const SourceScope part = e.part(plan::Part::kCareful);
  const Float shift = shift_of(row);
  std::int64_t offset = 0;
  for (Float score : x) {
    const Float exponent = weights.exponent_of(relative(score, shift));
    const Bool none = weights.vanishes(exponent, e.real(kVanishes));
    e.store(careful_weight(e, none, weights.weight_of(exponent)).value, s.at(row, e.index(offset)), vector_bytes(e));
    offset += e.lanes();
  }
}

// if (any score > max[row]) { rescale; max[row] = the largest score; }   NaN is ignored here
void RowSoftmax::emit_max(Index row, llvm::ArrayRef<Float> x) const {
  const SourceScope part = e.part(plan::Part::kMaxima);
  const Float old_max = e.load_real(e.at_real(max, row));
  Float lanes = e.broadcast(old_max);
  for (Float score : x) lanes = e.max(score, lanes);
  e.if_then("max_grew", e.any(e.compare(FloatOrder::kGt, lanes, old_max)), [&] {
    const Float new_max = e.reduce_max(lanes);
    if (is_relative(weights.kind)) emit_rescale(row, weights.factor_between(old_max, new_max));
    e.store(new_max.value, e.at_real(max, row));
  });
}

// sum_lanes[row] *= factor; o[row] *= factor;
void RowSoftmax::emit_rescale(Index row, Float factor) const {
  const auto rescale = [&](Ptr address) {
    e.store(e.mul(e.load_reals(address, vector_bytes(e)), factor).value, address, vector_bytes(e));
  };
  rescale(sum_lanes.at(row));
  e.for_range("rescale", e.index(0), e.index(o.stride), e.index(e.lanes()), [&](Index d) { rescale(o.at(row, d)); });
}

// Weights for products of bf16 pairs are rounded to bf16, two of neighbouring keys in the place of one score.
void RowSoftmax::store_weights(Index row, std::int64_t offset, Float weight) const {
  switch (e.arithmetic()) {
    case plan::Arithmetic::kBF16: {
      auto* rounded = e.ir().CreateFPTrunc(weight.value, e.shaped(e.ir().getBFloatTy(), weight.value));
      return e.store(rounded, s.at(row, e.index(offset / 2)), 2 * e.lanes());
    }
    case plan::Arithmetic::kF32:
    case plan::Arithmetic::kF64: return e.store(weight.value, s.at(row, e.index(offset)), vector_bytes(e));
  }
}

Float RowSoftmax::shift_of(Index row) const { return e.broadcast(weights.shift_of(e.load_real(e.at_real(max, row)))); }

}  // namespace flexjit::codegen
