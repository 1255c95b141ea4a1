// Modified scores -> weights: softmax weights are e^(score - shift), relative to a maximum of the row, sigmoid weights
// 1 / (1 + e^-score). Both are powers of two of an exponent, which the careful pass looks at.
#pragma once

#include "codegen/math/vector_math.h"
#include "codegen/parts/careful.h"

namespace flexjit::codegen {

// Whether weights are relative to the maximum of their row, and in the end divided by their sum.
inline bool is_relative(plan::Weights weights) {
  switch (weights) {
    case plan::Weights::kSoftmax: return true;
    case plan::Weights::kSigmoid:
    case plan::Weights::kLinear: return false;
  }
  return false;
}

// Coarse ones are as good as weights that are rounded to bf16 need.
enum class Precision : std::uint8_t { kFast, kCoarse };

struct Weights {
  Emitter& e;
  plan::Weights kind;
  Float exponent;  // e^score = 2^(exponent * score)
  Precision precision = Precision::kFast;

  // max == -inf ? 0 : max: a row without any key keeps weights 2^(-inf) = 0
  Float shift_of(Float max) const { return e.select(e.compare(FloatOrder::kEq, max, e.lowest()), e.real(0.0), max); }

  // What is relative to one maximum times this is relative to another.
  Float factor_between(Float old_max, Float new_max) const {
    return emit_exp2_fast(e, e.broadcast(e.mul(e.sub(old_max, new_max), exponent)));
  }

  // Of a score, relative to the shift if weights are; in fewer instructions than weight_of(exponent_of(score)) where it can be.
  Float weight_of_score(Float score) const {
    if (is_relative(kind) && precision == Precision::kFast) return emit_exp_fast(e, score);
    return weight_of(exponent_of(score));
  }

  // Softmax: the log2 of a weight. Sigmoid: -log2(e) * score.
  Float exponent_of(Float score) const {
    switch (kind) {
      case plan::Weights::kSoftmax: return e.mul(score, exponent);
      case plan::Weights::kSigmoid: return e.mul(score, e.neg(exponent));
      case plan::Weights::kLinear: break;  // no exponential
    }
    return {};
  }

  // Softmax: 2^x. Sigmoid: 1 / (1 + 2^x).
  Float weight_of(Float x) const {
    const Float one = e.real(1.0);
    switch (kind) {
      case plan::Weights::kSoftmax: return precision == Precision::kFast ? emit_exp2_fast(e, x) : emit_exp2_coarse(e, x);
      case plan::Weights::kSigmoid: return e.div(one, e.add(one, emit_exp2(e, x)));
      case plan::Weights::kLinear: break;
    }
    return {};
  }

  // That a key takes no part in the careful pass. `least`: log2 of the softmax weight that vanishes.
  Bool vanishes(Float x, Float least) const {
    switch (kind) {
      case plan::Weights::kSoftmax: return e.compare(FloatOrder::kLt, x, least);
      case plan::Weights::kSigmoid: return e.compare(FloatOrder::kGe, x, e.real(kOverflows));
      case plan::Weights::kLinear: break;
    }
    return {};
  }
};

}  // namespace flexjit::codegen
