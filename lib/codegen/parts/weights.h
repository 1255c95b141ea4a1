// Modified scores -> weights: softmax weights are e^(score - shift), relative to a maximum of the row, sigmoid weights
// 1 / (1 + e^-score). Both are powers of two of an exponent, which the careful pass looks at.
#pragma once

#include "codegen/emit/emitter.h"

namespace flexjit::codegen {

// Whether weights are relative to the maximum of their row, and in the end divided by their sum.
bool is_relative(plan::Weights weights);

// Coarse ones are as good as weights that are rounded to bf16 need.
enum class Precision : std::uint8_t { kFast, kCoarse };

struct Weights {
  Emitter& e;
  plan::Weights kind;
  Float exponent;  // e^score = 2^(exponent * score)
  Precision precision = Precision::kFast;

  // max == -inf ? 0 : max: a row without any key keeps weights 2^(-inf) = 0
  Float shift_of(Float max) const;
  // What is relative to one maximum times this is relative to another.
  Float factor_between(Float old_max, Float new_max) const;
  // Of a score, relative to the shift if weights are; in fewer instructions than weight_of(exponent_of(score)) where it can be.
  Float weight_of_score(Float score) const;
  Float exponent_of(Float score) const;
  Float weight_of(Float x) const;
  // That a key takes no part in the careful pass. `least`: log2 of the softmax weight that vanishes.
  Bool vanishes(Float x, Float least) const;
};

}  // namespace flexjit::codegen
