// Scores of one key step -> weights, row by row, in registers: score_mod and mask_mod, then online softmax. The maximum of a
// row soon stops growing; only when it does are the row's output and sum rescaled. Or sigmoid weights, which need no maximum.
#include "codegen/decode/row_block.h"

namespace flexjit::codegen {
namespace {

using plan::Level;

// The modified scores of lanes keys and what their weights are multiplied with; empty: 1.
struct KeyScores {
  Float score, factor;
};

// Of those from `column` on. Steps that are all allowed take the same way: a few instructions against
// some hundred of the products.
KeyScores modified_scores(Emitter& e, RowBlock& b, const KeyStep& step, Place at, Scope scope) {
  const SourceScope part = e.part(plan::Part::kMaskedScores);
  b.tables.load(scope, Level::kColumn, at.column, Stored::kBoth);
  Float score = b.s.load_vector(at.row, at.column);
  if (b.units.product) score = e.mul(score, b.units.product);
  if (b.has_row_scales) score = e.mul(score, b.k_scales.load_vector(e.index(0), at.column));
  const Int columns = e.add(e.narrow(e.add(step.kv, at.column)), e.lane_numbers());
  at.inside = e.logical_and(e.compare(llvm::CmpInst::ICMP_SGE, columns, e.narrow(step.first)),
                            e.compare(llvm::CmpInst::ICMP_SLT, columns, e.narrow(step.last)));
  score = b.scores.masked(scope, score, at).score;
  const Float factor = b.scores.weight_factor(scope);
  if (!b.has_row_scales) return {score, factor};
  const Float v_scale = b.v_scales.load_vector(e.index(0), at.column);
  return {score, factor ? e.mul(factor, v_scale) : v_scale};
}

Float shift_of(Emitter& e, RowBlock& b, Index row) {
  return e.broadcast(b.weights.shift_of(e.load_real(e.at_real(b.item.max, row))));
}

Float relative(Emitter& e, RowBlock& b, Float score, Float shift) {
  return is_relative(b.key.weights) ? e.sub(score, shift) : score;
}

// sum_lanes[row] *= factor; o[row] *= factor;
void emit_rescale(Emitter& e, RowBlock& b, Index row, Float factor) {
  const auto rescale = [&](Ptr address) {
    e.store(e.mul(e.load_reals(address, vector_bytes(e)), factor).value, address, vector_bytes(e));
  };
  rescale(b.sum_lanes.at(row));
  e.for_range("rescale", e.index(0), e.index(b.o.stride), e.index(e.lanes()), [&](Index d) { rescale(b.o.at(row, d)); });
}

// if (any score > max[row]) { rescale; max[row] = the largest score; }   NaN is ignored here
void emit_row_max(Emitter& e, RowBlock& b, Index row, llvm::ArrayRef<KeyScores> x) {
  const SourceScope part = e.part(plan::Part::kMaxima);
  const Float old_max = e.load_real(e.at_real(b.item.max, row));
  Float lanes = e.broadcast(old_max);
  for (const KeyScores& keys : x) lanes = e.max(keys.score, lanes);
  e.if_then("max_grew", e.any(e.compare(FloatOrder::kGt, lanes, old_max)), [&] {
    const Float new_max = e.reduce_max(lanes);
    if (is_relative(b.key.weights)) emit_rescale(e, b, row, b.weights.factor_between(old_max, new_max));
    e.store(new_max.value, e.at_real(b.item.max, row));
  });
}

// Weights for products of bf16 pairs are rounded to bf16, two of neighbouring keys in the place of one score.
void store_weights(Emitter& e, RowBlock& b, Index row, std::int64_t column, Float weights) {
  switch (e.arithmetic()) {
    case plan::Arithmetic::kBF16: {
      auto* rounded = e.ir().CreateFPTrunc(weights.value, e.shaped(e.ir().getBFloatTy(), weights.value));
      return e.store(rounded, b.s.at(row, e.index(column / 2)), 2 * e.lanes());
    }
    case plan::Arithmetic::kF32:
    case plan::Arithmetic::kF64: return e.store(weights.value, b.s.at(row, e.index(column)), vector_bytes(e));
  }
}

// max[row] = ...; s[row][] = weights of x[] times their factors; sum_lanes[row] += weights;
void emit_row_weights(Emitter& e, RowBlock& b, Index row, llvm::ArrayRef<KeyScores> x) {
  emit_row_max(e, b, row, x);
  const Float shift = shift_of(e, b, row);
  const Ptr sum_at = b.sum_lanes.at(row);
  Float sum = e.load_reals(sum_at, vector_bytes(e));
  std::int64_t column = 0;
  for (const auto& [score, factor] : x) {
    const Float weights = b.weights.weight_of_score(relative(e, b, score, shift));
    store_weights(e, b, row, column, factor ? e.mul(weights, factor) : weights);
    sum = e.add(sum, weights);
    column += e.lanes();
  }
  e.store(sum.value, sum_at, vector_bytes(e));
}

// s[row][] = x[] takes part ? its weight times its factor : kNoPart, as fp32
void emit_careful_weights(Emitter& e, RowBlock& b, Index row, llvm::ArrayRef<KeyScores> x) {
  const SourceScope part = e.part(plan::Part::kCareful);
  const Float shift = shift_of(e, b, row);
  std::int64_t column = 0;
  for (const auto& [score, factor] : x) {
    const Float exponent = b.weights.exponent_of(relative(e, b, score, shift));
    const Weighted weighted{b.weights.vanishes(exponent, e.real(kVanishes)), b.weights.weight_of(exponent)};
    const Ptr address = b.s.at(row, e.index(column));
    e.store(careful_weight(e, with_factor(e, weighted, factor)).value, address, vector_bytes(e));
    column += e.lanes();
  }
}

}  // namespace

// for (r = 0; r < rows; ++r) { x[] = modified scores; careful ? careful_weights(x) : row_weights(x); }
void emit_weights(Emitter& e, RowBlock& b, const KeyStep& step, Bool careful) {
  const SourceScope part = e.part(plan::Part::kWeights);
  e.for_range("weights", e.index(0), b.item.rows, e.index(1), [&](Index row) {
    Scope of_row = b.tables.uniform;
    b.tables.load(of_row, Level::kRow, row, Stored::kBoth);
    of_row.outside = e.ir().GetInsertBlock();
    llvm::SmallVector<KeyScores, 4> x;
    for (int column = 0; column < b.key.tiling.kv_tile; column += e.lanes()) {
      x.push_back(modified_scores(e, b, step, {row, e.index(column), {}, step.masked}, of_row));
    }
    e.if_else("careful_weights", careful, [&] { emit_careful_weights(e, b, row, x); }, [&] { emit_row_weights(e, b, row, x); });
  });
}

}  // namespace flexjit::codegen
