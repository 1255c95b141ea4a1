// The finished rows of a query tile: output = o / sum in the caller's element type, ln sum exp, the largest score. A row whose
// o is not finite stays unsettled: the careful pass writes it again.
#include <cstddef>
#include <limits>
#include <numbers>

#include "codegen/emit/lane_transpose.h"
#include "codegen/emit/storage.h"
#include "codegen/prefill/query_tile.h"

namespace flexjit::codegen {
namespace {

// sinks ? sinks[h] : -inf
Float emit_sink(Emitter& e, QueryTile& t) {
  const Ptr sinks = ArgFields{e, t.item.launch.launch}.pointer(offsetof(plan::LaunchArg, sinks), "sinks");
  const Float lowest = e.lowest();
  return {e.choose(
      "sink", Bool{e.ir().CreateIsNotNull(sinks.value)},
      [&] { return e.add(e.load(e.at(sinks, t.item.h)), e.real(0.0)).value; }, [&] { return lowest.value; })};
}

// For lanes rows at once: sum = reduce(sum_lanes[r]); top = max(row_max[r], sink), 0 if both are -inf;
// shrink = e^(max - top); total = sum * shrink + e^(sink - top);
// rescale[r] = sum == 0 ? 0 : shrink / total; base[r] = sum == 0 ? sink : top + ln(total);
// least[r] = log2 of the weight that vanishes relative to top, but relative to max
// Without sinks top is max and shrink 1, to the bit.
void emit_row_totals(Emitter& e, QueryTile& t, Index row, Float sink) {
  const auto bytes = static_cast<int>(e.real_bytes());
  const Float sum = reduce_rows(e, t.sum_lanes.at(row), [&](Float a, Float b) { return e.add(a, b); });
  Float max = e.load_reals(t.row_max.at(row), bytes);
  if (t.units.natural) max = e.mul(max, t.units.natural);
  const Float lowest = e.lowest(), zero = e.real(0.0);
  const Float highest = e.max(max, sink);
  const Float top = e.select(e.compare(FloatOrder::kEq, highest, lowest), zero, highest);
  const Float shrink = emit_exp(e, e.sub(max, top));
  const Float total = e.add(e.mul(sum, shrink), emit_exp(e, e.sub(sink, top)));
  const auto is_zero = [&](Float x) { return e.compare(FloatOrder::kEq, x, zero); };
  e.store(e.select(is_zero(sum), zero, e.div(shrink, total)).value, t.rescale.at(row), bytes);
  e.store(e.select(is_zero(sum), sink, e.add(top, emit_log(e, total))).value, t.base.at(row), bytes);
  const Float below = e.mul(e.sub(top, max), e.real(std::numbers::log2e));
  e.store(e.add(below, e.real(kVanishes)).value, t.least.at(row), bytes);
}

// unit: empty: 1. as_f64: empty: never.
struct RowResult {
  Float unit{};
  Bool as_f64{};
};
// for (r = 0; r < q_count; ++r) if (float* at = the field `offset` of rows[r]) *at = unit * values[r]
void emit_row_results(Emitter& e, QueryTile& t, std::size_t offset, const RealRows& values, const RowResult& of) {
  const auto& [unit, as_f64] = of;
  e.for_range("row_result", e.index(0), t.item.q_count, e.index(1), [&](Index r) {
    const Ptr at = t.prefill.queries.pointer(e, r, offset);
    e.if_then("row_result.wanted", Bool{e.ir().CreateIsNotNull(at.value)}, [&] {
      const Float plain = values.load(r), value = unit ? e.mul(plain, unit) : plain;
      const auto store_single = [&] {
        e.store(Emitter::is_double(value) ? e.ir().CreateFPTrunc(value.value, e.ir().getFloatTy()) : value.value, at);
      };
      if (!Emitter::is_double(value) || !as_f64) return store_single();
      e.if_else("row_result.f64", as_f64, [&] { e.store(value.value, at, 8); }, store_single);
    });
  });
}

// for (d) o[row][d] = kHeadroom * (o[row][d] * rescale[row]); rescale[row] = 1;
// A mean lies between its values, so that only rounding takes a finite one past the largest number.
void emit_settled_row(Emitter& e, QueryTile& t, Index row) {
  const SourceScope part = e.part(plan::Part::kCareful);
  const bool is_mean = is_relative(t.key.weights);
  const Ptr factor_at = t.rescale.at(row);
  const Float factor = e.load_real(factor_at), headroom = e.real(kHeadroom);
  const double largest =
      e.real_bytes() == 8 ? std::numeric_limits<double>::max() : static_cast<double>(std::numeric_limits<float>::max());
  e.for_range("settle.o", e.index(0), e.index(t.o.stride), e.index(e.lanes()), [&](Index d) {
    const Ptr address = t.o.at(row, d);
    Float o = e.load_reals(address, vector_bytes(e));
    if (is_mean) {
      const Float mean = e.mul(o, factor), limit = e.real(largest / kHeadroom);
      const Bool finite = e.compare(FloatOrder::kLt, e.abs(mean), e.neg(e.lowest()));
      o = e.select(finite, e.max(e.min(mean, limit), e.neg(limit)), mean);
    }
    e.store(e.mul(o, headroom).value, address, vector_bytes(e));
  });
  if (is_mean) e.store(e.real(1.0).value, factor_at, static_cast<int>(e.real_bytes()));
}

// if (careful) settled_row;
// *rows[r].out = o[r] * rescale[r]; sigmoid weights are not normalised
// unsettled[r] = !careful && o[r] is not finite; if (unsettled[r]) o[r] = 0;
void emit_output_row(Emitter& e, QueryTile& t, Bool careful, Index row) {
  const DType dtype = t.key.types.out;
  e.if_then("settle", careful, [&] { emit_settled_row(e, t, row); });
  const Float factor = is_relative(t.key.weights) ? t.rescale.load(row) : e.real(1.0);
  const Ptr target = t.prefill.queries.pointer(e, row, offsetof(plan::QueryRow, out));
  const std::int64_t whole = t.key.v_head_dim / e.lanes() * e.lanes();
  // 0 * o is 0 where o is finite, else NaN.
  const Float zeros = e.broadcast(e.real(0.0));
  const Values seen = e.for_range("store_out.vector", e.index(0), e.index(whole), e.index(e.lanes()), {zeros.value},
                                  [&](Index d, const Values& so_far) {
                                    const Float o = t.o.load_vector(row, d);
                                    store_elements(e, e.mul(o, factor), at_element(e, target, d, dtype), dtype);
                                    return Values{e.fma(o, zeros, Float{so_far[0]}).value};
                                  });
  e.for_range("store_out.tail", e.index(whole), e.index(t.key.v_head_dim), e.index(1), [&](Index d) {
    const Float o = e.load_real(t.o.at(row, d));
    store_elements(e, e.mul(o, factor), at_element(e, target, d, dtype), dtype);
  });
  Float check{seen[0]};
  if (whole != t.key.v_head_dim) check = e.fma(t.o.load_vector(row, e.index(whole)), zeros, check);
  const Bool again = e.logical_and(e.any(e.compare(FloatOrder::kNe, check, zeros)), e.logical_not(careful));
  t.unsettled.set(row, again, [&] { t.o.clear(row); });
}

}  // namespace

// for (r = 0; r < q_tile; ++r) {
//   row_max[r] = -inf; rescale[r] = 1; max_lanes[r][*] = -inf; sum_lanes[r][*] = 0; unsettled[r] = r < q_count; o[r][*] = 0;
// }
void emit_initial_state(Emitter& e, QueryTile& t) {
  const Float lowest = e.lowest();
  e.for_range("reset", e.index(0), e.index(t.key.tiling.q_tile), e.index(1), [&](Index r) {
    e.store(lowest.value, t.row_max.at(r));
    e.store(e.real(1.0).value, t.rescale.at(r));
    e.store(e.broadcast(lowest).value, t.max_lanes.at(r), vector_bytes(e));
    e.store(e.broadcast(e.real(0.0)).value, t.sum_lanes.at(r), vector_bytes(e));
    e.store(e.to_int(e.less(r, t.item.q_count)).value, t.unsettled.at(r));
    t.o.clear(r);
  });
}

// if (!careful) { for (r = 0; r < q_count; r += lanes) row_totals(r); lse[...] = ...; max_scores[...] = ...; }   softmax
// weights only for (r = 0; r < q_count; ++r) { if (unsettled[r]) output_row(r); left |= unsettled[r]; }
Bool emit_results(Emitter& e, QueryTile& t, Bool careful) {
  const SourceScope part = e.part(plan::Part::kOutput);
  const auto statistics = [&] {
    const Float sink = e.broadcast(emit_sink(e, t));
    e.for_range("totals", e.index(0), t.item.q_count, e.index(e.lanes()), [&](Index row) { emit_row_totals(e, t, row, sink); });
    emit_row_results(e, t, offsetof(plan::QueryRow, lse), t.base, {.as_f64 = emit_lse_f64(e, t.item.launch.launch)});
    emit_row_results(e, t, offsetof(plan::QueryRow, max_scores), t.row_max, {.unit = t.units.natural});
  };
  if (is_relative(t.key.weights)) e.if_then("results", e.logical_not(careful), statistics);
  return t.unsettled.for_rows("store_out", t.item.q_count, [&](Index r) {
    e.if_then("unsettled", t.unsettled.is(r), [&] { emit_output_row(e, t, careful, r); });
  });
}

}  // namespace flexjit::codegen
