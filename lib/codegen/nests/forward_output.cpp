// The finished rows of a query tile: output = o / sum in the caller's element type, ln sum exp, the largest score. A row whose
// o is not finite stays unsettled: the careful pass writes it again.
#include <cstddef>
#include <limits>
#include <numbers>

#include "codegen/parts/careful.h"
#include "codegen/nests/forward.h"
#include "codegen/emit/lane_transpose.h"
#include "codegen/emit/storage.h"
#include "codegen/math/vector_math.h"
#include "plan/kernel_abi.h"

namespace flexjit::codegen {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

}  // namespace

// if (!careful) results;                                                            softmax weights only
// for (r = 0; r < q_count; ++r) { if (unsettled[r]) output_row(r); left |= unsettled[r]; }
// Returns that any row is left to the careful pass.
Bool ForwardEmitter::emit_output() {
  const SourceScope part = e_.part(plan::Part::kOutput);
  if (is_softmax()) e_.if_then("results", e_.logical_not(careful_), [&] { emit_results(); });
  const Values left = e_.for_range("store_out", e_.index(0), item_.q_count, e_.index(1), {e_.index(0).value},
                                   [&](Index r, const Values& so_far) {
                                     e_.if_then("unsettled", is_unsettled(r), [&] { emit_output_row(r); });
                                     return Values{e_.bit_or(Index{so_far[0]}, e_.widen(e_.load_int(unsettled_at(r)))).value};
                                   });
  return e_.logical_not(e_.equal(Index{left[0]}, e_.index(0)));
}

// for (r = 0; r < q_count; r += lanes) row_totals(r); lse[...] = ...; max_scores[...] = ...;
void ForwardEmitter::emit_results() {
  const Float sink = e_.broadcast(emit_sink());
  e_.for_range("totals", e_.index(0), item_.q_count, e_.index(e_.lanes()), [&](Index row) { emit_row_totals(row, sink); });
  emit_row_results(offsetof(plan::LaunchArg, lse), scratch_.base, Float{});
  emit_row_results(offsetof(plan::LaunchArg, max_scores), scratch_.row_max, units_.natural);
}

// sinks ? sinks[h] : -inf
Float ForwardEmitter::emit_sink() {
  const Ptr sinks = e_.load_pointer(e_.at_byte(item_.launch.launch, offsetof(plan::LaunchArg, sinks)), "sinks");
  const Float lowest = e_.real(-kInf);
  return {e_.choose(
      "sink", Bool{e_.ir().CreateIsNotNull(sinks.value)},
      [&] { return e_.add(e_.load(e_.at(sinks, item_.h)), e_.real(0.0)).value; }, [&] { return lowest.value; })};
}

// For lanes rows at once: sum = reduce(sum_lanes[r]); top = max(row_max[r], sink), 0 if both are -inf;
// shrink = e^(max - top); total = sum * shrink + e^(sink - top);
// rescale[r] = sum == 0 ? 0 : shrink / total; base[r] = sum == 0 ? sink : top + ln(total);
// least[r] = log2 of the weight that vanishes relative to top, but relative to max
// Without sinks top is max and shrink 1, to the bit.
void ForwardEmitter::emit_row_totals(Index first_row, Float sink) {
  const auto bytes = static_cast<int>(e_.real_bytes());
  const auto at = [&](std::int64_t section) { return real_at(section, first_row, 1, e_.index(0)); };
  llvm::SmallVector<Float, 16> lanes_of_rows;
  const Ptr sums = e_.opaque(real_at(scratch_.sum_lanes, first_row, e_.lanes(), e_.index(0)));
  for (int i = 0; i < e_.lanes(); ++i) {
    lanes_of_rows.push_back(e_.load_reals(e_.at_real(sums, e_.index(std::int64_t{i} * e_.lanes())), vector_bytes()));
  }
  const Float sum = reduce_each(e_, lanes_of_rows, [&](Float a, Float b) { return e_.add(a, b); });
  Float max = e_.load_reals(at(scratch_.row_max), bytes);
  if (units_.natural) max = e_.mul(max, units_.natural);
  const Float lowest = e_.real(-kInf), zero = e_.real(0.0);
  const Float highest = e_.max(max, sink);
  const Float top = e_.select(e_.compare(FloatOrder::kEq, highest, lowest), zero, highest);
  const Float shrink = emit_exp(e_, e_.sub(max, top));
  const Float total = e_.add(e_.mul(sum, shrink), emit_exp(e_, e_.sub(sink, top)));
  const auto is_zero = [&](Float x) { return e_.compare(FloatOrder::kEq, x, zero); };
  e_.store(e_.select(is_zero(sum), zero, e_.div(shrink, total)).value, at(scratch_.rescale), bytes);
  e_.store(e_.select(is_zero(sum), sink, e_.add(top, emit_log(e_, total))).value, at(scratch_.base), bytes);
  const Float below = e_.mul(e_.sub(top, max), e_.real(std::numbers::log2e));
  e_.store(e_.add(below, e_.real(kVanishes)).value, at(scratch_.least), bytes);
}

// if (careful) settled_row;
// out[q_begin + r] = o[r] * rescale[r]; sigmoid weights are not normalised
// unsettled[r] = !careful && o[r] is not finite; if (unsettled[r]) o[r] = 0;
void ForwardEmitter::emit_output_row(Index row) {
  e_.if_then("settle", careful_, [&] { emit_settled_row(row); });
  const Float factor = is_softmax() ? e_.load_real(real_at(scratch_.rescale, row, 1, e_.index(0))) : e_.real(1.0);
  const Ptr target = at_element(e_, item_.out.data, e_.mul(e_.add(item_.q_begin, row), item_.out.stride), key_.types.out);
  const std::int64_t whole = key_.v_head_dim / e_.lanes() * e_.lanes();
  const auto vector_at = [&](Index d) { return e_.load_reals(real_at(scratch_.o, row, layout_.v_padded, d), vector_bytes()); };
  // 0 * o is 0 where o is finite, else NaN.
  const Float zeros = e_.broadcast(e_.real(0.0));
  const Values seen =
      e_.for_range("store_out.vector", e_.index(0), e_.index(whole), e_.index(e_.lanes()), {zeros.value},
                   [&](Index d, const Values& so_far) {
                     const Float o = vector_at(d);
                     store_elements(e_, e_.mul(o, factor), at_element(e_, target, d, key_.types.out), key_.types.out);
                     return Values{e_.fma(o, zeros, Float{so_far[0]}).value};
                   });
  e_.for_range("store_out.tail", e_.index(whole), e_.index(key_.v_head_dim), e_.index(1), [&](Index d) {
    const Float o = e_.load_real(real_at(scratch_.o, row, layout_.v_padded, d));
    store_elements(e_, e_.mul(o, factor), at_element(e_, target, d, key_.types.out), key_.types.out);
  });
  Float check{seen[0]};
  if (whole != key_.v_head_dim) check = e_.fma(vector_at(e_.index(whole)), zeros, check);
  const Bool again = e_.logical_and(e_.any(e_.compare(FloatOrder::kNe, check, zeros)), e_.logical_not(careful_));
  e_.store(e_.to_int(again).value, unsettled_at(row));
  e_.if_then("not_finite", again, [&] { emit_zero_output(row); });
}

// for (d = 0; d < v_padded; d += lanes) o[row][d..] = 0;
void ForwardEmitter::emit_zero_output(Index row) {
  const Float zeros = e_.broadcast(e_.real(0.0));
  e_.for_range("reset.o", e_.index(0), e_.index(layout_.v_padded), e_.index(e_.lanes()),
               [&](Index d) { e_.store(zeros.value, real_at(scratch_.o, row, layout_.v_padded, d), vector_bytes()); });
}

// RowArg* result = launch + offset; if (result->data) for (r = 0; r < q_count; ++r) result->data[b][h][q_begin + r] =
// unit * section[r];   unit empty: 1
void ForwardEmitter::emit_row_results(std::size_t offset, std::int64_t section, Float unit) {
  const Ptr result = e_.at_byte(item_.launch.launch, static_cast<std::int64_t>(offset));
  const Ptr data = e_.load_pointer(result);
  e_.if_then("row_results", Bool{e_.ir().CreateIsNotNull(data.value)}, [&] {
    const auto stride = [&](std::size_t field) { return e_.load_index(e_.at_byte(result, static_cast<std::int64_t>(field))); };
    const Index from_batch = e_.mul(item_.b, stride(offsetof(plan::RowArg, stride_batch)));
    const Index from_plane = e_.add(from_batch, e_.mul(item_.h, stride(offsetof(plan::RowArg, stride_head))));
    const Index row_stride = stride(offsetof(plan::RowArg, stride_row));
    e_.for_range("row_result", e_.index(0), item_.q_count, e_.index(1), [&](Index r) {
      const Float plain = e_.load_real(real_at(section, r, 1, e_.index(0)));
      llvm::Value* single = unit ? e_.mul(plain, unit).value : plain.value;
      if (e_.real_bytes() == 8) single = e_.ir().CreateFPTrunc(single, e_.ir().getFloatTy());
      e_.store(single, e_.at(data, e_.add(from_plane, e_.mul(e_.add(item_.q_begin, r), row_stride))));
    });
  });
}

}  // namespace flexjit::codegen
