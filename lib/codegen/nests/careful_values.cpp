// The careful pass of a query tile (careful.h): scores are computed as before, the maxima, sums and factors of the first pass
// are final, so that one row after another gets its weights and O += P V / kHeadroom. Only what is not finite comes here, so
// that the code is short rather than fast.
#include <cstddef>
#include <limits>

#include "codegen/parts/careful.h"
#include "codegen/nests/forward.h"

namespace flexjit::codegen {

// for each group: for (r = row; r < row + micro_rows; ++r) if (unsettled[r]) { careful_weights(r); careful_product(r); }
void ForwardEmitter::emit_careful_values(const KeyTile& tile) {
  const SourceScope part = e_.part(plan::Part::kCareful);
  for_each_group("careful_rows", [&](Index group, Index row) {
    const Index end = e_.add(row, e_.index(key_.tiling.micro_rows));
    e_.for_range("careful_row", row, end, e_.index(1), [&](Index r) {
      e_.if_then("careful_row.unsettled", is_unsettled(r), [&] {
        emit_careful_weights(group, r);
        emit_careful_product(tile, group, r);
      });
    });
  });
}

// for (c = begin; c < end; c += lanes) S[row][c..] = S[row][c..] takes part ? its weight : kNoPart, as reals
void ForwardEmitter::emit_careful_weights(Index group, Index row) {
  const auto of_row = [&](std::int64_t section) { return e_.load_real(real_at(section, row, 1, e_.index(0))); };
  const Float base = is_softmax() ? e_.neg(shift_of(of_row(scratch_.row_max))) : Float{};
  const Float least = is_softmax() ? of_row(scratch_.least) : Float{};
  e_.for_range("careful_weights", visit_field(group, offsetof(plan::Visit, begin)),
               visit_field(group, offsetof(plan::Visit, end)), e_.index(e_.lanes()), [&](Index column) {
                 const Ptr address = score_at(row, column);
                 const Float x = exponent_of(e_.load_reals(address, vector_bytes()), base);
                 const Bool none =
                     is_softmax() ? e_.compare(FloatOrder::kLt, x, least) : e_.compare(FloatOrder::kGe, x, e_.real(kOverflows));
                 e_.store(careful_weight(e_, none, weight_of(x)).value, address, vector_bytes());
               });
}

// for (d) for (k = visit.first; k < min(visit.after, count); ++k) o[row][d] += S[row][k] * V[kv + k][d] / kHeadroom
void ForwardEmitter::emit_careful_product(const KeyTile& tile, Index group, Index row) {
  const Index begin = visit_field(group, offsetof(plan::Visit, first));
  const Index end = e_.min(visit_field(group, offsetof(plan::Visit, after)), tile.count);
  for_value_chunks("careful_dims", [&](Index dim, int vectors) {
    const auto dims_at = [&](int j) { return e_.add(dim, e_.index(std::int64_t{j} * e_.lanes())); };
    const auto output_at = [&](int j) { return real_at(scratch_.o, row, layout_.v_padded, dims_at(j)); };
    Values sums;
    for (int j = 0; j < vectors; ++j) sums.push_back(e_.load_reals(output_at(j), vector_bytes()).value);
    sums = e_.for_range("careful", begin, end, e_.index(1), sums, [&](Index k, const Values& so_far) {
      const Float weight = e_.broadcast(e_.load_real(score_at(row, k)));
      Values next;
      for (int j = 0; j < vectors; ++j) {
        const Float values = load_values_of_key(e_.add(tile.kv, k), dims_at(j));
        const Bool none = e_.compare(FloatOrder::kLt, weight, e_.real(0.0));
        const Float sum{so_far[next.size()]};
        next.push_back(e_.select(none, sum, e_.fma(weight, e_.mul(values, e_.real(1 / kHeadroom)), sum)).value);
      }
      return next;
    });
    for (int j = 0; j < vectors; ++j) e_.store(sums[static_cast<std::size_t>(j)], output_at(j), vector_bytes());
  });
}

// One vector of value dims of one key. Of a pair, the lower half is the even key's.
Float ForwardEmitter::load_values_of_key(Index key, Index dim) {
  const Index row{e_.ir().CreateLShr(key.value, layout_.v_group - 1)};
  const Ptr address = at_cell(e_, item_.v_rows, e_.add(e_.mul(row, item_.v_stride), dim));
  if (layout_.v_group == 1) return e_.load_reals(address, static_cast<int>(e_.real_bytes()));
  const Bool odd = e_.equal(e_.bit_and(key, e_.index(1)), e_.index(1));
  const Int shift = e_.select(odd, e_.constant_int(0), e_.constant_int(16));
  const Int shifted = e_.shl(e_.load_int_vector(address), shift);
  return e_.bits_as_float(e_.bit_and(shifted, e_.constant_int(static_cast<std::int32_t>(0xffff0000))));
}

// for (d) o[row][d] = kHeadroom * (o[row][d] * rescale[row]); rescale[row] = 1;
// A mean lies between its values, so that only rounding takes a finite one past the largest number.
void ForwardEmitter::emit_settled_row(Index row) {
  const SourceScope part = e_.part(plan::Part::kCareful);
  const Ptr factor_at = real_at(scratch_.rescale, row, 1, e_.index(0));
  const Float factor = e_.load_real(factor_at), headroom = e_.real(kHeadroom);
  const double largest =
      e_.real_bytes() == 8 ? std::numeric_limits<double>::max() : static_cast<double>(std::numeric_limits<float>::max());
  e_.for_range("settle.o", e_.index(0), e_.index(layout_.v_padded), e_.index(e_.lanes()), [&](Index d) {
    const Ptr address = real_at(scratch_.o, row, layout_.v_padded, d);
    Float o = e_.load_reals(address, vector_bytes());
    if (is_softmax()) {
      const Float mean = e_.mul(o, factor), limit = e_.real(largest / kHeadroom);
      const Bool finite = e_.compare(FloatOrder::kLt, e_.abs(mean), e_.real(std::numeric_limits<double>::infinity()));
      o = e_.select(finite, e_.max(e_.min(mean, limit), e_.neg(limit)), mean);
    }
    e_.store(e_.mul(o, headroom).value, address, vector_bytes());
  });
  if (is_softmax()) e_.store(e_.real(1.0).value, factor_at, static_cast<int>(e_.real_bytes()));
}

}  // namespace flexjit::codegen
