// The finished rows of a query tile: output = o / sum in the caller's element type, ln sum exp, the largest score.
#include <cstddef>
#include <limits>

#include "codegen/forward.h"
#include "codegen/lane_transpose.h"
#include "codegen/storage.h"
#include "codegen/vector_math.h"
#include "plan/kernel_abi.h"

namespace flexjit::codegen {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

}  // namespace

// for (r = 0; r < q_count; r += lanes) row_totals(r);                              softmax weights only
// lse[...] = ...; max_scores[...] = ...; for (r = 0; r < q_count; ++r) output_row(r);
void ForwardEmitter::emit_output() {
  const SourceScope part = e_.part(plan::Part::kOutput);
  if (is_softmax()) {
    const Float sink = e_.broadcast(emit_sink());
    e_.for_range("totals", e_.index(0), item_.q_count, e_.index(e_.lanes()), [&](Index row) { emit_row_totals(row, sink); });
    emit_row_results(offsetof(plan::LaunchArg, lse), scratch_.base);
    emit_row_results(offsetof(plan::LaunchArg, max_scores), scratch_.row_max);
  }
  e_.for_range("store_out", e_.index(0), item_.q_count, e_.index(1), [&](Index r) { emit_output_row(r); });
}

// sinks ? sinks[h] : -inf
Float ForwardEmitter::emit_sink() {
  const Ptr sinks = e_.load_pointer(e_.at_byte(item_.launch.launch, offsetof(plan::LaunchArg, sinks)), "sinks");
  const Float lowest = e_.real(-kInf);
  return {e_.choose(
      "sink", Bool{e_.ir().CreateIsNotNull(sinks.value)}, [&] { return e_.max(e_.load(e_.at(sinks, item_.h)), lowest).value; },
      [&] { return lowest.value; })};
}

// For lanes rows at once: sum = reduce(sum_lanes[r]); top = max(row_max[r], sink), 0 if both are -inf;
// shrink = e^(max - top); total = sum * shrink + e^(sink - top);
// rescale[r] = total == 0 ? 0 : shrink / total; base[r] = total == 0 ? -inf : top + ln(total); row_max in natural units
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
  const Bool empty = e_.compare(FloatOrder::kEq, total, zero);
  e_.store(e_.select(empty, zero, e_.div(shrink, total)).value, at(scratch_.rescale), bytes);
  e_.store(e_.select(empty, lowest, e_.add(top, emit_log(e_, total))).value, at(scratch_.base), bytes);
  e_.store(max.value, at(scratch_.row_max), bytes);
}

// out[q_begin + r] = o[r] * rescale[r]; sigmoid weights are not normalised
void ForwardEmitter::emit_output_row(Index row) {
  const Float factor = is_softmax() ? e_.load_real(real_at(scratch_.rescale, row, 1, e_.index(0))) : e_.real(1.0);
  const Ptr target = at_element(e_, item_.out.data, e_.mul(e_.add(item_.q_begin, row), item_.out.stride), key_.types.out);
  const std::int64_t whole = key_.v_head_dim / e_.lanes() * e_.lanes();
  e_.for_range("store_out.vector", e_.index(0), e_.index(whole), e_.index(e_.lanes()), [&](Index d) {
    const Float o = e_.load_reals(real_at(scratch_.o, row, layout_.v_padded, d), vector_bytes());
    store_elements(e_, e_.mul(o, factor), at_element(e_, target, d, key_.types.out), key_.types.out);
  });
  e_.for_range("store_out.tail", e_.index(whole), e_.index(key_.v_head_dim), e_.index(1), [&](Index d) {
    const Float o = e_.load_real(real_at(scratch_.o, row, layout_.v_padded, d));
    store_elements(e_, e_.mul(o, factor), at_element(e_, target, d, key_.types.out), key_.types.out);
  });
}

// RowArg* result = launch + offset; if (result->data) for (r = 0; r < q_count; ++r) result->data[b][h][q_begin + r] =
// section[r];
void ForwardEmitter::emit_row_results(std::size_t offset, std::int64_t section) {
  const Ptr result = e_.at_byte(item_.launch.launch, static_cast<std::int64_t>(offset));
  const Ptr data = e_.load_pointer(result);
  e_.if_then("row_results", Bool{e_.ir().CreateIsNotNull(data.value)}, [&] {
    const auto stride = [&](std::size_t field) { return e_.load_index(e_.at_byte(result, static_cast<std::int64_t>(field))); };
    const Index from_batch = e_.mul(item_.b, stride(offsetof(plan::RowArg, stride_batch)));
    const Index from_plane = e_.add(from_batch, e_.mul(item_.h, stride(offsetof(plan::RowArg, stride_head))));
    const Index row_stride = stride(offsetof(plan::RowArg, stride_row));
    e_.for_range("row_result", e_.index(0), item_.q_count, e_.index(1), [&](Index r) {
      llvm::Value* single = e_.load_real(real_at(section, r, 1, e_.index(0))).value;
      if (e_.real_bytes() == 8) single = e_.ir().CreateFPTrunc(single, e_.ir().getFloatTy());
      e_.store(single, e_.at(data, e_.add(from_plane, e_.mul(e_.add(item_.q_begin, r), row_stride))));
    });
  });
}

}  // namespace flexjit::codegen
