// The loop over a span's keys, and what lies around it: the initial state and the table of the rows, the state that is left.
#include "codegen/decode/row_block.h"

#include <cstddef>

namespace flexjit::codegen {

using plan::Level;

void for_key_steps(Emitter& e, RowBlock& b, const Span& span, llvm::function_ref<void(const KeyStep&)> body) {
  const std::int32_t kv_tile = b.key.tiling.kv_tile;
  const Index end = e.widen(span.end);
  const Int kind = span.load_kind(e);
  const Index step = e.index(kv_tile), begin = e.widen(span.begin);
  const Bool masked = is_kind(e, kind, plan::SpanKind::kMasked);
  const Ptr run = e.at(b.item.runs, e.mul(e.widen(span.load_run(e)), e.index(sizeof(plan::KeyRun) / 4)));
  e.for_range("key_step", e.widen(e.bit_and(span.begin, e.constant_int(-kv_tile))), end, step, [&](Index kv) {
    const Index first = e.max(kv, begin);
    body({kv, first, e.min(e.add(kv, step), end), masked, run});
  });
}

namespace {

// As they lie in the scratch, where the rows of a step are.
StreamedRows in_scratch(Emitter& e, const RowBlock& b, const KeyStep& step, std::int64_t dims) {
  const Index stride = e.index(b.at.real_stride);
  const Ptr rows = e.at_byte(b.item.scratch, b.at.real_rows);
  const Ptr key_0 = e.anywhere(rows, e.mul(step.kv, e.index(-4 * b.at.real_stride)));
  return {e, {key_0, stride}, Ptr{}, DType::kF32, dims};
}

}  // namespace

StreamedRows stored_keys_of(Emitter& e, RowBlock& b, const KeyStep& step) {
  const ArgFields run{e, step.run};
  const Rows rows{run.pointer(offsetof(plan::KeyRun, k), "k"), run.long_index(offsetof(plan::KeyRun, k_stride), "k_stride")};
  return {e, rows, run.pointer(offsetof(plan::KeyRun, k_ahead), "k_ahead"), b.key.types.kv, b.key.head_dim};
}

StreamedRows stored_values_of(Emitter& e, RowBlock& b, const KeyStep& step) {
  const ArgFields run{e, step.run};
  const Rows rows{run.pointer(offsetof(plan::KeyRun, v), "v"), run.long_index(offsetof(plan::KeyRun, v_stride), "v_stride")};
  return {e, rows, run.pointer(offsetof(plan::KeyRun, v_ahead), "v_ahead"), b.key.types.kv, b.key.v_head_dim};
}

StreamedRows keys_of(Emitter& e, RowBlock& b, const KeyStep& step) {
  return b.is_quantised ? in_scratch(e, b, step, b.key.head_dim) : stored_keys_of(e, b, step);
}

StreamedRows values_of(Emitter& e, RowBlock& b, const KeyStep& step) {
  return b.is_quantised ? in_scratch(e, b, step, b.key.v_head_dim) : stored_values_of(e, b, step);
}

void for_chunks_of_rows(Emitter& e, RowBlock& b, const char* name, llvm::function_ref<void(const RowChunk&)> body) {
  for_row_chunks(e, name, b.item.rows, b.key.tiling.micro_rows, [&](Index row, int rows) {
    if (b.is_quantised) return body({row, rows, false});  // what the scratch holds needs no prefetch
    e.if_else("first_rows", e.equal(row, e.index(0)), [&] { body({row, rows, true}); }, [&] { body({row, rows, false}); });
  });
}

// for (r = 0; r < rows; ++r) { max[r] = -inf; scale[r] = 1; sum_lanes[r][*] = 0; o[r][*] = 0; }
void emit_initial_state(Emitter& e, RowBlock& b) {
  e.for_range("reset", e.index(0), b.item.rows, e.index(1), [&](Index r) {
    e.store(e.lowest().value, e.at_real(b.item.max, r));
    e.store(e.real(1.0).value, e.at_real(b.item.scale, r));
    e.store(e.broadcast(e.real(0.0)).value, b.sum_lanes.at(r), vector_bytes(e));
    b.o.clear(r);
  });
}

// for (r = 0; r < rows; ++r) { h = rows[r].h; q_idx = rows[r].q_idx; row_values[slot][r] = ...; }
void fill_row_table(Emitter& e, RowBlock& b) {
  const SourceScope part = e.part(plan::Part::kRowTables);
  if (b.tables.hoisting.row_slots == 0) return;
  b.tables.fill("row_values", Level::kRow, b.item.rows, Bool{}, [&](Scope& scope, Index r) {
    if (llvm::Value** h = b.tables.leaf(scope, ir::Op::kHead))
      *h = b.item.queries.integer(e, r, offsetof(plan::QueryRow, h)).value;
    if (llvm::Value** q_idx = b.tables.leaf(scope, ir::Op::kQIdx))
      *q_idx = b.item.queries.integer(e, r, offsetof(plan::QueryRow, q_idx)).value;
    b.tables.evaluate(scope, Level::kRow);
  });
}

// if (!careful) for (r = 0; r < rows; ++r) {
//   sum[r] = reduce(sum_lanes[r]); unsettled[r] = o[r] is not finite; if (unsettled[r]) { o[r] = 0; scale[r] = kHeadroom; }
// }
Bool emit_states(Emitter& e, RowBlock& b, Bool careful) {
  const SourceScope part = e.part(plan::Part::kOutput);
  return b.unsettled.for_rows("state", e.select(careful, e.index(0), b.item.rows), [&](Index row) {
    const Float lanes = b.sum_lanes.load_vector(row, e.index(0));
    e.store(e.reduce_add(lanes).value, e.at_real(b.item.sum, row));
    emit_dims_in_order(e, b, row);
    // 0 * o is 0 where o is finite, else NaN.
    const Float zeros = e.broadcast(e.real(0.0));
    const Values seen = e.for_range(
        "state.o", e.index(0), e.index(b.o.stride), e.index(e.lanes()), {zeros.value},
        [&](Index d, const Values& so_far) { return Values{e.fma(b.o.load_vector(row, d), zeros, Float{so_far[0]}).value}; });
    b.unsettled.set(row, e.any(e.compare(FloatOrder::kNe, Float{seen[0]}, zeros)), [&] {
      b.o.clear(row);
      e.store(e.real(kHeadroom).value, e.at_real(b.item.scale, row));
    });
  });
}

}  // namespace flexjit::codegen
