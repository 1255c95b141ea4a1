// The nest itself: work item -> spans -> key tiles -> strips.
#include "codegen/forward.h"

#include <cstddef>

#include "plan/kernel_abi.h"

namespace flexjit::codegen {
namespace {

using plan::TileArg;

// Up to this many instructions a score are cheaper in registers, 24 copies and all, than through one store and load.
constexpr std::int32_t kRegisterEpilogueCost = 8;

}  // namespace

ForwardEmitter::ForwardEmitter(Emitter& e, const plan::KernelKey& key)
    : e_(e),
      key_(key),
      layout_(plan::layout_of(key)),
      scratch_(plan::scratch_of(key)),
      hoisting_(plan::hoist(key.program)),
      register_epilogue_(hoisting_.score_cost <= kRegisterEpilogueCost && !hoisting_.checks_elements) {}

// for (s = 0; s < tile->span_count; ++s)
//   for (kv = spans[s].begin rounded down to a strip; kv < spans[s].end; kv += kv_tile)
//     key_tile(spans[s], kv, min(kv_tile, spans[s].end - kv));
void ForwardEmitter::emit() {
  item_.tile = e_.begin_function("attend", "tile");
  load_item();
  expressions_.emplace(e_, key_.program, hoisting_, item_.launch);
  uniform_ = expressions_->uniform_scope(item_.indices);
  emit_query_rows();
  emit_initial_state();
  emit_row_values();
  const Index span_count = e_.widen(e_.load_int(e_.at_byte(item_.tile, offsetof(TileArg, span_count)), "span_count"));
  const Ptr spans = e_.load_pointer(e_.at_byte(item_.tile, offsetof(TileArg, spans)), "spans");
  e_.for_range("span", e_.index(0), span_count, e_.index(1), [&](Index s) {
    const Ptr span = e_.at(spans, e_.mul(s, e_.index(sizeof(plan::SpanArg) / 4)));
    const Int begin = e_.load_int(span, "span.begin");
    const Int end = e_.load_int(e_.at_byte(span, offsetof(plan::SpanArg, end)), "span.end");
    const Int masked = e_.load_int(e_.at_byte(span, offsetof(plan::SpanArg, masked)), "span.masked");
    const Span columns{begin, end, e_.compare(llvm::CmpInst::ICMP_NE, masked, e_.constant_int(0))};
    const Int first = e_.bit_and(begin, e_.constant_int(-layout_.strip));
    const Index kv_tile = e_.index(key_.tiling.kv_tile);
    const Index last = e_.widen(end);
    e_.for_range("key_tile", e_.widen(first), last, kv_tile,
                 [&](Index kv) { emit_key_tile(columns, kv, e_.min(kv_tile, e_.sub(last, kv))); });
  });
  emit_output();
  e_.end_function();
}

void ForwardEmitter::load_item() {
  const Ptr tile = item_.tile;
  const auto int_at = [&](std::size_t offset, const char* name) {
    return e_.load_int(e_.at_byte(tile, static_cast<std::int64_t>(offset)), name);
  };
  const Ptr launch = e_.load_pointer(e_.at_byte(tile, offsetof(TileArg, launch)), "launch");
  item_.launch = load_launch(e_, launch);
  item_.indices = {int_at(offsetof(TileArg, b), "b"), int_at(offsetof(TileArg, h), "h"),
                   int_at(offsetof(TileArg, kv_head), "kv_head")};
  item_.b = e_.widen(item_.indices.b);
  item_.h = e_.widen(item_.indices.h);
  item_.q_begin = e_.widen(int_at(offsetof(TileArg, q_begin), "q_begin"));
  item_.q_count = e_.widen(int_at(offsetof(TileArg, q_count), "q_count"));
  item_.rows = e_.round_up(item_.q_count, key_.tiling.micro_rows);
  item_.q = load_rows(e_, launch, offsetof(plan::LaunchArg, q), item_.b, item_.h);
  item_.out = load_rows(e_, launch, offsetof(plan::LaunchArg, out), item_.b, item_.h);
  item_.k_panels = e_.load_pointer(e_.at_byte(tile, offsetof(TileArg, k_panels)), "k_panels");
  item_.v_rows = e_.load_pointer(e_.at_byte(tile, offsetof(TileArg, v_rows)), "v_rows");
  item_.v_stride = e_.load_index(e_.at_byte(tile, offsetof(TileArg, v_stride)), "v_stride");
  item_.fault = e_.load_pointer(e_.at_byte(tile, offsetof(TileArg, fault)), "fault");
  scratch_base_ = e_.load_pointer(e_.at_byte(tile, offsetof(TileArg, scratch)), "scratch");
}

// for (column = 0; column < count; column += strip) strip(kv + column, column);
// softmax over round_up(count, strip) columns; O = rescale * O + P V over count rows of V;
void ForwardEmitter::emit_key_tile(const Span& span, Index kv, Index count) {
  const Bool unmasked = e_.logical_and(e_.logical_not(span.masked), reads_fine_);
  e_.for_range("strip", e_.index(0), count, e_.index(layout_.strip),
               [&](Index column) { emit_strip({e_.add(kv, column), column, span.begin, span.end, unmasked}); });
  emit_softmax(e_.round_up(count, layout_.strip));
  emit_value_product(kv, count);
}

// column values; for (row = 0; row < rows; row += micro_rows) score_tile(row);
void ForwardEmitter::emit_strip(Strip strip) {
  strip.fast = e_.logical_and(strip.fast, emit_column_values(strip.kv));
  e_.for_range("rows", e_.index(0), item_.rows, e_.index(key_.tiling.micro_rows),
               [&](Index row) { emit_score_tile(strip, row); });
}

Ptr ForwardEmitter::scratch_at(std::int64_t section, Index row, std::int64_t row_elements, Index column) {
  return e_.at(e_.at_byte(scratch_base_, section), e_.add(e_.mul(row, e_.index(row_elements)), column));
}

Ptr ForwardEmitter::row_value_at(std::int32_t slot, Index row) {
  const std::int64_t section = scratch_.row_values + std::int64_t{4} * slot * key_.tiling.q_tile;
  return e_.at(e_.at_byte(scratch_base_, section), row);
}

Ptr ForwardEmitter::column_value_at(std::int32_t slot, Index offset) {
  const std::int64_t section = scratch_.column_values + std::int64_t{4} * slot * layout_.strip;
  return e_.at(e_.at_byte(scratch_base_, section), offset);
}

}  // namespace flexjit::codegen
