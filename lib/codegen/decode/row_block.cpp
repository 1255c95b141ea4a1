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

CellVectors StreamedRows::cells(Ptr at_dim, Index key, Index dim, std::int64_t offset, VectorPart part) const {
  auto& ir = e.ir();
  llvm::Value* loaded = load(at_dim, e.index(offset), part);
  if (!support::is_quantised(dtype)) return {as_cells(e, loaded, dtype)};
  llvm::Value* reals = widen_in_units(e, loaded, dtype);
  const Index first = e.add(dim, e.index(offset));
  if (scales) {
    const Float scale = e.mul(scales->of(key, first), e.real(unit_of(dtype)));
    reals = ir.CreateFMul(reals, ir.CreateVectorSplat(static_cast<unsigned>(part.width), scale.value));
  }
  if (kept) e.store(reals, e.at_real(at(*kept, key, 4), first), vector_bytes(e));
  CellVectors vectors;
  for (int from = 0; from < part.width; from += e.lanes()) {
    llvm::SmallVector<int, 16> lanes;
    for (int lane = 0; lane < e.lanes(); ++lane) lanes.push_back(from + lane);
    vectors.push_back({part.width == e.lanes() ? reals : ir.CreateShuffleVector(reals, lanes)});
  }
  return vectors;
}

namespace {

// Rows of a step in the scratch, as they would begin with key 0.
Rows rows_in_scratch(Emitter& e, const RowBlock& b, const KeyStep& step) {
  const Ptr rows = e.at_byte(b.item.scratch, b.at.real_rows);
  return {e.anywhere(rows, e.mul(step.kv, e.index(-4 * b.at.real_stride))), e.index(b.at.real_stride)};
}

// Where plan::KeyRun has what belongs to K or to V.
struct RunFields {
  std::size_t rows, stride, ahead, scales;
  std::int32_t dims;
};

StreamedRows streamed(Emitter& e, RowBlock& b, const KeyStep& step, RowsFrom from, const RunFields& at) {
  if (from == RowsFrom::kScratch) return {e, rows_in_scratch(e, b, step), Ptr{}, DType::kF32, at.dims};
  const ArgFields run{e, step.run};
  StreamedRows result{e,
                      {run.pointer(at.rows, "rows"), run.long_index(at.stride, "stride")},
                      run.pointer(at.ahead, "ahead"),
                      b.key.types.kv,
                      at.dims};
  if (b.key.types.scale_dims != 0)
    result.scales.emplace(GroupScales{load_scales(e, step.run, at.scales), b.key.types.scale_dims});
  if (from == RowsFrom::kMemoryAndKeeps) result.kept = rows_in_scratch(e, b, step);
  return result;
}

}  // namespace

StreamedRows keys_of(Emitter& e, RowBlock& b, const KeyStep& step, RowsFrom from) {
  using plan::KeyRun;
  return streamed(e, b, step, from,
                  {offsetof(KeyRun, k), offsetof(KeyRun, k_stride), offsetof(KeyRun, k_ahead), offsetof(KeyRun, k_scales),
                   b.key.head_dim});
}

StreamedRows values_of(Emitter& e, RowBlock& b, const KeyStep& step, RowsFrom from) {
  using plan::KeyRun;
  return streamed(e, b, step, from,
                  {offsetof(KeyRun, v), offsetof(KeyRun, v_stride), offsetof(KeyRun, v_ahead), offsetof(KeyRun, v_scales),
                   b.key.v_head_dim});
}

// Quantised rows are converted by the first chunk of several, and again by each of the few rows that make no whole chunk.
void for_chunks_of_rows(Emitter& e, RowBlock& b, const char* name, llvm::function_ref<void(const RowChunk&)> body) {
  const int most = b.key.tiling.micro_rows;
  for_row_chunks(e, name, b.item.rows, most, [&](Index row, int rows) {
    const auto with = [&](RowsFrom from) { body({row, rows, from}); };
    const Bool is_first = e.equal(row, e.index(0));
    if (!b.is_quantised) {
      e.if_else("first_rows", is_first, [&] { with(RowsFrom::kMemory); }, [&] { with(RowsFrom::kMemoryAgain); });
      return;
    }
    const auto of_several = [&] {
      if (rows < most) return with(RowsFrom::kScratch);
      e.if_else("first_rows", is_first, [&] { with(RowsFrom::kMemoryAndKeeps); }, [&] { with(RowsFrom::kScratch); });
    };
    e.if_else("several", e.less(e.index(most), b.item.rows), of_several, [&] { with(RowsFrom::kMemory); });
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
