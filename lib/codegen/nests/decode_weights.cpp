// Scores of one key step -> weights, row by row: scale, score_mod, mask, then online softmax. The maximum of a row soon stops
// growing; only when it does are the row's output and sum rescaled. Or sigmoid weights, which need no maximum.
#include <limits>

#include "codegen/nests/decode.h"
#include "codegen/math/vector_math.h"

namespace flexjit::codegen {
namespace {

using ir::Id;
using ir::Op;

constexpr float kLog2E = 1.44269504088896F;

}  // namespace

// for (r = 0; r < rows; ++r) {
//   x[] = modified scores;
//   if (careful) careful_weights(x); else { max[r] = ...; s[r][] = weights of x[]; sum_lanes[r] += weights; }
// }
void DecodeEmitter::emit_weights(const Step& step) {
  const SourceScope part = e_.part(plan::Part::kWeights);
  e_.for_range("weights", e_.index(0), item_.rows, e_.index(1), [&](Index row) {
    const Scope of_row = row_scope(row);
    llvm::SmallVector<Float, 4> scores;
    for (int offset = 0; offset < key_.tiling.kv_tile; offset += e_.lanes()) {
      scores.push_back(emit_modified_scores(step, of_row, row, e_.index(offset)));
    }
    e_.if_else(
        "careful_weights", careful_, [&] { emit_careful_weights(row, scores); },
        [&] {
          emit_row_max(row, scores);
          emit_row_weights(row, scores);
        });
  });
}

// allowed = first <= kv_idx < last && (mask_mod || !masked); allowed ? score_mod(scale * s) : -inf. The mask comes first so
// that masked lanes read nothing, and last so that nothing score_mod makes there survives. Steps that are all allowed take the
// same way: a few instructions against some hundred of the products.
Float DecodeEmitter::emit_modified_scores(const Step& step, const Scope& of_row, Index row, Index offset) {
  const SourceScope part = e_.part(plan::Part::kMaskedScores);
  Scope scope = of_row;
  load_column_values(scope, offset);
  Float score = e_.load_vector(score_at(row, offset), 4 * e_.lanes());
  if (pairs_) score = e_.mul(score, scale_.rest);
  for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
    if (key_.program.nodes()[i].op == Op::kScore) scope.value[i] = score.value;
  }
  const Int columns = e_.add(e_.narrow(e_.add(step.kv, offset)), e_.lane_numbers());
  const Bool inside = e_.logical_and(e_.compare(llvm::CmpInst::ICMP_SGE, columns, e_.narrow(step.first)),
                                     e_.compare(llvm::CmpInst::ICMP_SLT, columns, e_.narrow(step.last)));
  const Bool allowed = emit_mask(step, scope, inside);
  if (const Id root = key_.program.score(); root.valid()) {
    scope.active = allowed;
    expressions_->evaluate(scope, plan::Level::kElement, hoisting_.in_score);
    emit_fault_checks(scope, hoisting_.in_score, e_.constant_bool(true));
    score = Float{scope.value[root.index]};
  }
  return e_.select(allowed, score, e_.constant(-std::numeric_limits<float>::infinity()));
}

// Where the mask does not decide, what it alone reads is no fault.
Bool DecodeEmitter::emit_mask(const Step& step, Scope& scope, Bool inside) {
  const Id root = key_.program.mask();
  if (!root.valid()) return inside;
  scope.active = inside;
  expressions_->evaluate(scope, plan::Level::kElement, hoisting_.in_mask);
  emit_fault_checks(scope, hoisting_.in_mask, step.masked);
  return e_.logical_and(inside, e_.logical_or(Bool{scope.value[root.index]}, e_.logical_not(step.masked)));
}

// for each checked read of the wanted nodes: if (any active lane is out of range && counts) report it
void DecodeEmitter::emit_fault_checks(const Scope& scope, const std::vector<bool>& wanted, Bool counts) {
  for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
    if (!wanted[i] || scope.flag[i] == nullptr) continue;
    const Bool faulty = expressions_->faulty_lanes(scope, Id{i});
    e_.if_then("fault", e_.logical_and(e_.any(faulty), counts),
               [&] { expressions_->emit_fault_report(scope, Id{i}, faulty, item_.fault); });
  }
}

// if (any score > max[row]) { rescale; max[row] = the largest score; }   NaN is ignored here
void DecodeEmitter::emit_row_max(Index row, llvm::ArrayRef<Float> scores) {
  const SourceScope part = e_.part(plan::Part::kMaxima);
  const Float old_max = e_.load(e_.at(item_.max, row));
  Float lanes = e_.broadcast(old_max);
  for (Float score : scores) lanes = e_.max(score, lanes);
  e_.if_then("max_grew", e_.any(e_.compare(FloatOrder::kGt, lanes, old_max)), [&] {
    const Float new_max = e_.reduce_max(lanes);
    if (key_.weights == plan::Weights::kSoftmax) emit_rescale(row, old_max, new_max);
    e_.store(new_max.value, e_.at(item_.max, row));
  });
}

// factor = exp(old_max - new_max); sum_lanes[row] *= factor; o[row] *= factor;
void DecodeEmitter::emit_rescale(Index row, Float old_max, Float new_max) {
  const SourceScope part = e_.part(plan::Part::kMaxima);
  const Float factor = emit_exp2_fast(e_, e_.broadcast(e_.mul(e_.sub(old_max, new_max), e_.constant(kLog2E))));
  const auto rescale = [&](Ptr address) {
    e_.store(e_.mul(e_.load_vector(address, 4 * e_.lanes()), factor).value, address, 4 * e_.lanes());
  };
  rescale(scratch_at(scratch_.sum_lanes, row, e_.lanes(), e_.index(0)));
  e_.for_range("rescale", e_.index(0), e_.index(layout_.v_padded), e_.index(e_.lanes()),
               [&](Index d) { rescale(output_at(row, d)); });
}

// Weights for products of bf16 pairs are rounded to bf16, two of neighbouring keys in the place of one score.
void DecodeEmitter::emit_weights_of_row(Index row, std::int64_t offset, Float weights) {
  auto& ir = e_.ir();
  llvm::Value* stored = weights.value;
  if (pairs_) stored = ir.CreateFPTrunc(stored, e_.shaped(ir.getBFloatTy(), stored));
  e_.store(stored, score_at(row, e_.index(pairs_ ? offset / 2 : offset)), (pairs_ ? 2 : 4) * e_.lanes());
}

// max[row] == -inf ? 0 : max[row]: a row without any key keeps weights 2^(-inf) = 0
Float DecodeEmitter::shift_of(Index row) {
  const Float max = e_.load(e_.at(item_.max, row));
  const Float lowest = e_.constant(-std::numeric_limits<float>::infinity());
  return e_.broadcast(e_.select(e_.compare(FloatOrder::kEq, max, lowest), e_.constant(0.0F), max));
}

// Softmax: the log2 of a weight. Sigmoid: -log2(e) * score.
Float DecodeEmitter::exponent_of(Float score, Float base) {
  const bool softmax = key_.weights == plan::Weights::kSoftmax;
  return softmax ? e_.mul(e_.sub(score, base), e_.constant(kLog2E)) : e_.mul(score, e_.constant(-kLog2E));
}

// Softmax: 2^x. Sigmoid: 1 / (1 + 2^x).
Float DecodeEmitter::weight_of(Float x) {
  if (key_.weights == plan::Weights::kSoftmax) return emit_exp2_fast(e_, x);
  const Float one = e_.constant(1.0F);
  return e_.div(one, e_.add(one, emit_exp2(e_, x)));
}

// s[row][] = exp(x[] - shift), or 1 / (1 + exp(-x[])); sum_lanes[row] += s[row][];
void DecodeEmitter::emit_row_weights(Index row, llvm::ArrayRef<Float> scores) {
  const Float base = shift_of(row);
  const Ptr sum_at = scratch_at(scratch_.sum_lanes, row, e_.lanes(), e_.index(0));
  Float sum = e_.load_vector(sum_at, 4 * e_.lanes());
  std::int64_t offset = 0;
  for (Float score : scores) {
    const bool softmax = key_.weights == plan::Weights::kSoftmax;
    const Float weight = softmax ? emit_exp_fast(e_, e_.sub(score, base)) : weight_of(exponent_of(score, base));
    emit_weights_of_row(row, offset, weight);
    sum = e_.add(sum, weight);
    offset += e_.lanes();
  }
  e_.store(sum.value, sum_at, 4 * e_.lanes());
}

}  // namespace flexjit::codegen
