// Online softmax over one key tile: the maxima so far, how much the older output and sums must shrink, then the weights, row by
// row and only over the panels that a group of rows visits. Everything is relative to the running maximum, which is subtracted
// first: a product of a large score would be rounded by more than the exponents' range.
#include <cstddef>
#include <limits>

#include "codegen/nests/forward.h"
#include "codegen/emit/lane_transpose.h"
#include "codegen/math/vector_math.h"

namespace flexjit::codegen {

// for (r = 0; r < rows; r += lanes) row_maxima(r);                                 softmax weights only
// for each group: for (r = row; r < row + micro_rows; ++r) weights_of_row(r, visit.begin, visit.end);
void ForwardEmitter::emit_softmax() {
  const SourceScope part = e_.part(plan::Part::kWeights);
  if (is_softmax()) {
    e_.for_range("maxima", e_.index(0), item_.rows, e_.index(e_.lanes()), [&](Index row) { emit_row_maxima(row); });
  }
  for_each_group("softmax", [&](Index group, Index row) {
    const Index begin = visit_field(group, offsetof(plan::Visit, begin)), end = visit_field(group, offsetof(plan::Visit, end));
    e_.for_range("softmax.row", row, e_.add(row, e_.index(key_.tiling.micro_rows)), e_.index(1),
                 [&](Index r) { emit_weights_of_row(r, begin, end); });
  });
}

// For lanes rows at once: max = reduce(max_lanes[r]); shift = shift_of(max);
// rescale[r] = 2^(exponent * (row_max[r] - shift)); row_max[r] = max; base[r] = -shift;
void ForwardEmitter::emit_row_maxima(Index first_row) {
  const SourceScope part = e_.part(plan::Part::kMaxima);
  llvm::SmallVector<Float, 16> lanes_of_rows;
  const Ptr maxima = e_.opaque(real_at(scratch_.max_lanes, first_row, e_.lanes(), e_.index(0)));
  for (int i = 0; i < e_.lanes(); ++i) {
    lanes_of_rows.push_back(e_.load_reals(e_.at_real(maxima, e_.index(std::int64_t{i} * e_.lanes())), vector_bytes()));
  }
  const Float max = reduce_each(e_, lanes_of_rows, [&](Float a, Float b) { return e_.max(a, b); });
  const auto at = [&](std::int64_t section) { return real_at(section, first_row, 1, e_.index(0)); };
  const Float shift = shift_of(max);
  const Float old = e_.load_reals(at(scratch_.row_max), static_cast<int>(e_.real_bytes()));
  const auto store = [&](Float value, std::int64_t section) {
    e_.store(value.value, at(section), static_cast<int>(e_.real_bytes()));
  };
  store(emit_exp2_fast(e_, e_.mul(e_.sub(old, shift), units_.exponent)), scratch_.rescale);
  store(max, scratch_.row_max);
  store(e_.neg(shift), scratch_.base);
}

// max == -inf ? 0 : max: a row without any key keeps weights 2^(-inf) = 0
Float ForwardEmitter::shift_of(Float max) {
  const Float lowest = e_.real(-std::numeric_limits<double>::infinity());
  return e_.select(e_.compare(FloatOrder::kEq, max, lowest), e_.real(0.0), max);
}

// Softmax: exponent * (score + base), the log2 of a weight. Sigmoid: -exponent * score. Scores are added to, so that their
// loads fold into the addition.
Float ForwardEmitter::exponent_of(Float score, Float base) {
  return is_softmax() ? e_.mul(e_.add(score, base), units_.exponent) : e_.mul(score, e_.neg(units_.exponent));
}

// weight_of(exponent_of(score, base)), in fewer instructions where the exponent is log2(e).
Float ForwardEmitter::weight_of_score(Float score, Float base) {
  const bool in_natural_units = is_softmax() && e_.arithmetic() != plan::Arithmetic::kBF16;
  return in_natural_units ? emit_exp_fast(e_, e_.add(score, base)) : weight_of(exponent_of(score, base));
}

// Softmax: 2^x. Sigmoid: 1 / (1 + 2^x).
Float ForwardEmitter::weight_of(Float x) {
  if (is_softmax()) return e_.arithmetic() == plan::Arithmetic::kBF16 ? emit_exp2_coarse(e_, x) : emit_exp2_fast(e_, x);
  const Float one = e_.real(1.0);
  return e_.div(one, e_.add(one, emit_exp2(e_, x)));
}

// for (c = begin; c < end; c += strip, then lanes) S[row][c..] = weight of S[row][c..], summed lane by lane;
// sum_lanes[row] = rescale[row] * sum_lanes[row] + sums
void ForwardEmitter::emit_weights_of_row(Index row, Index begin, Index end) {
  const int vectors = key_.tiling.micro_vectors;
  const Float base = is_softmax() ? e_.broadcast(e_.load_real(real_at(scratch_.base, row, 1, e_.index(0)))) : Float{};
  const Ptr scores = score_at(row, e_.index(0));
  const auto pass = [&](Index column, const Values& sums) {
    Values next;
    llvm::SmallVector<Float, 8> p;
    const Ptr first = e_.at_real(scores, column);
    for (std::size_t j = 0; j < sums.size(); ++j) {
      const Index offset = e_.index(static_cast<std::int64_t>(j) * e_.lanes());
      p.push_back(weight_of_score(e_.load_reals(e_.at_real(first, offset), vector_bytes()), base));
      next.push_back(e_.add(Float{sums[j]}, p.back()).value);
    }
    store_as_cells(e_, p, e_.at_byte_offset(scores, e_.mul(column, e_.index(e_.real_bytes() / layout_.v_group))));
    return next;
  };
  const Values zeros(static_cast<std::size_t>(vectors), e_.broadcast(e_.real(0.0)).value);
  const Index in_strips = e_.bit_and(e_.sub(end, begin), e_.index(-layout_.strip));
  const Index after_strips = e_.add(begin, in_strips);
  const Values sums = e_.for_range("exp", begin, after_strips, e_.index(layout_.strip), zeros, pass);
  Float total{sums[0]};
  for (int j = 1; j < vectors; ++j) total = e_.add(total, Float{sums[static_cast<std::size_t>(j)]});
  total = Float{e_.for_range("exp.panel", after_strips, end, e_.index(e_.lanes()), {total.value}, pass)[0]};
  const Ptr sum_at = real_at(scratch_.sum_lanes, row, e_.lanes(), e_.index(0));
  const Float old = e_.load_reals(sum_at, vector_bytes());
  const Float rescale = e_.load_real(real_at(scratch_.rescale, row, 1, e_.index(0)));
  e_.store(e_.fma(old, rescale, total).value, sum_at, vector_bytes());
}

}  // namespace flexjit::codegen
