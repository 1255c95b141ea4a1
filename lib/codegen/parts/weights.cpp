// Everything that one kind of weights does and the other does not is settled here.
#include "codegen/parts/weights.h"

#include <limits>

#include "codegen/math/vector_math.h"
#include "codegen/parts/careful.h"

namespace flexjit::codegen {

bool is_relative(plan::Weights weights) {
  switch (weights) {
    case plan::Weights::kSoftmax: return true;
    case plan::Weights::kSigmoid: return false;
  }
  return false;
}

Float Weights::shift_of(Float max) const {
  const Float lowest = e.real(-std::numeric_limits<double>::infinity());
  return e.select(e.compare(FloatOrder::kEq, max, lowest), e.real(0.0), max);
}

Float Weights::factor_between(Float old_max, Float new_max) const {
  return emit_exp2_fast(e, e.broadcast(e.mul(e.sub(old_max, new_max), exponent)));
}

Float Weights::weight_of_score(Float score) const {
  if (is_relative(kind) && precision == Precision::kFast) return emit_exp_fast(e, score);
  return weight_of(exponent_of(score));
}

// Softmax: the log2 of a weight. Sigmoid: -log2(e) * score.
Float Weights::exponent_of(Float score) const {
  switch (kind) {
    case plan::Weights::kSoftmax: return e.mul(score, exponent);
    case plan::Weights::kSigmoid: return e.mul(score, e.neg(exponent));
  }
  return {};
}

// Softmax: 2^x. Sigmoid: 1 / (1 + 2^x).
Float Weights::weight_of(Float x) const {
  const Float one = e.real(1.0);
  switch (kind) {
    case plan::Weights::kSoftmax:
      switch (precision) {
        case Precision::kFast: return emit_exp2_fast(e, x);
        case Precision::kCoarse: return emit_exp2_coarse(e, x);
      }
      break;
    case plan::Weights::kSigmoid: return e.div(one, e.add(one, emit_exp2(e, x)));
  }
  return {};
}

Bool Weights::vanishes(Float x, Float least) const {
  switch (kind) {
    case plan::Weights::kSoftmax: return e.compare(FloatOrder::kLt, x, least);
    case plan::Weights::kSigmoid: return e.compare(FloatOrder::kGe, x, e.real(kOverflows));
  }
  return {};
}

}  // namespace flexjit::codegen
