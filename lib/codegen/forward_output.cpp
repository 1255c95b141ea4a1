// The finished rows of a query tile: output = o / sum in the caller's element type, ln sum exp, the largest score.
#include <cstddef>
#include <limits>

#include "codegen/forward.h"
#include "codegen/storage.h"
#include "codegen/vector_math.h"
#include "plan/kernel_abi.h"

namespace flexjit::codegen {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// e^x of one number; through a vector, whose exponential is a few instructions.
Float exp_of(Emitter& e, Float x) { return {e.ir().CreateExtractElement(emit_exp(e, e.broadcast(x)).value, std::uint64_t{0})}; }

}  // namespace

// for (r = 0; r < q_count; ++r) output_row(r);
void ForwardEmitter::emit_output() {
  e_.for_range("store_out", e_.index(0), item_.q_count, e_.index(1), [&](Index r) { emit_output_row(r); });
}

// max = largest score; sum = reduce(sum_lanes[r]); top = max(max, sink), 0 if both are -inf;
// shrink = e^(max - top); total = sum * shrink + e^(sink - top);
// out[q_begin + r] = total == 0 ? 0 : o[r] * shrink / total; lse = total == 0 ? -inf : top + ln(total)
// Without sinks top is max and shrink 1, to the bit. Sigmoid weights are not normalised.
void ForwardEmitter::emit_output_row(Index row) {
  const Float lanes = e_.load_reals(real_at(scratch_.max_lanes, row, e_.lanes(), e_.index(0)), vector_bytes());
  Float max = e_.reduce_max(lanes);
  if (units_.natural) max = e_.mul(max, units_.natural);
  Float factor = e_.real(1.0);
  if (is_softmax()) {
    const Ptr launch = item_.launch.launch;
    const Ptr sinks = e_.load_pointer(e_.at_byte(launch, offsetof(plan::LaunchArg, sinks)), "sinks");
    const Float lowest = e_.real(-kInf), zero = e_.real(0.0);
    const Float sink{e_.choose(
        "sink", Bool{e_.ir().CreateIsNotNull(sinks.value)},
        [&] { return e_.max(e_.load(e_.at(sinks, item_.h)), lowest).value; }, [&] { return lowest.value; })};
    const Float highest = e_.max(max, sink);
    const Float top = e_.select(e_.compare(FloatOrder::kEq, highest, lowest), zero, highest);
    const Float shrink = exp_of(e_, e_.sub(max, top));
    const Float sum = e_.reduce_add(e_.load_reals(real_at(scratch_.sum_lanes, row, e_.lanes(), e_.index(0)), vector_bytes()));
    const Float total = e_.add(e_.mul(sum, shrink), exp_of(e_, e_.sub(sink, top)));
    const Bool empty = e_.compare(FloatOrder::kEq, total, zero);
    factor = e_.select(empty, zero, e_.div(shrink, total));
    const Float lse = e_.select(empty, lowest, e_.add(top, emit_log(e_, total)));
    emit_row_result(offsetof(plan::LaunchArg, lse), row, lse);
  }
  emit_row_result(offsetof(plan::LaunchArg, max_scores), row, max);
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

// RowArg* result = launch + offset; if (result->data) result->data[b][h][q_begin + row] = value;
void ForwardEmitter::emit_row_result(std::size_t offset, Index row, Float value) {
  const Ptr result = e_.at_byte(item_.launch.launch, static_cast<std::int64_t>(offset));
  const Ptr data = e_.load_pointer(result);
  e_.if_then("store_row_result", Bool{e_.ir().CreateIsNotNull(data.value)}, [&] {
    const auto stride = [&](std::size_t field) { return e_.load_index(e_.at_byte(result, static_cast<std::int64_t>(field))); };
    const Index from_batch = e_.mul(item_.b, stride(offsetof(plan::RowArg, stride_batch)));
    const Index from_head = e_.mul(item_.h, stride(offsetof(plan::RowArg, stride_head)));
    const Index from_row = e_.mul(e_.add(item_.q_begin, row), stride(offsetof(plan::RowArg, stride_row)));
    llvm::Value* single = value.value;
    if (Emitter::is_double(value)) single = e_.ir().CreateFPTrunc(single, e_.ir().getFloatTy());
    e_.store(single, e_.at(data, e_.add(from_batch, e_.add(from_head, from_row))));
  });
}

}  // namespace flexjit::codegen
