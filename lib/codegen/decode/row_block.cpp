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

Float StreamedRows::scale_of(const RowPart& row, std::int64_t offset) const {
  if (!scales) return {};
  const Float scale = scales->of(e.widen(row.number), row.dim, offset / scales->dims);
  return unit_of(dtype) == 1 ? scale : e.mul(scale, e.real(unit_of(dtype)));
}

CellVectors StreamedRows::cells(const RowPart& row, std::int64_t offset, VectorPart part, Float scale) const {
  auto& ir = e.ir();
  llvm::Value* loaded = load(row.at_dim, e.index(offset), part);
  if (!support::is_quantised(dtype)) return {as_cells(e, loaded, dtype)};
  llvm::Value* reals = widen_in_units(e, loaded, dtype);
  if (scale) reals = ir.CreateFMul(reals, ir.CreateVectorSplat(static_cast<unsigned>(part.width), scale.value));
  if (kept) e.store(reals, kept->at(row.column, e.add(row.dim, e.index(offset))), vector_bytes(e));
  CellVectors vectors;
  for (int from = 0; from < part.width; from += e.lanes()) {
    llvm::SmallVector<int, 16> lanes;
    for (int lane = 0; lane < e.lanes(); ++lane) lanes.push_back(from + lane);
    vectors.push_back({part.width == e.lanes() ? reals : ir.CreateShuffleVector(reals, lanes)});
  }
  return vectors;
}

namespace {

// Where plan::KeyRun has what belongs to K or to V, and the scratch the rows to come.
struct RunFields {
  std::size_t rows, stride, scales;
  std::int64_t to_come;
  std::int32_t dims;
};

StreamedRows streamed(Emitter& e, RowBlock& b, const KeyStep& step, RowsFrom from, const RunFields& at) {
  const ScratchInts to_come{e, b.item.scratch, at.to_come};
  if (from == RowsFrom::kScratch)
    return {e, {b.real_rows.at(e.index(0)), e.index(b.at.real_stride)}, to_come, DType::kF32, at.dims};
  const ArgFields run{e, step.run};
  StreamedRows result{e, {run.pointer(at.rows, "rows"), run.long_index(at.stride, "stride")}, to_come, b.key.types.kv, at.dims};
  if (b.key.types.scale_dims != 0)
    result.scales.emplace(GroupScales{load_scales(e, step.run, at.scales), b.key.types.scale_dims});
  if (from == RowsFrom::kMemoryAndKeeps) result.kept.emplace(b.real_rows);
  return result;
}

}  // namespace

StreamedRows keys_of(Emitter& e, RowBlock& b, const KeyStep& step, RowsFrom from) {
  using plan::KeyRun;
  return streamed(
      e, b, step, from,
      {offsetof(KeyRun, k), offsetof(KeyRun, k_stride), offsetof(KeyRun, k_scales), b.at.k_to_come, b.key.head_dim});
}

StreamedRows values_of(Emitter& e, RowBlock& b, const KeyStep& step, RowsFrom from) {
  using plan::KeyRun;
  return streamed(
      e, b, step, from,
      {offsetof(KeyRun, v), offsetof(KeyRun, v_stride), offsetof(KeyRun, v_scales), b.at.v_to_come, b.key.v_head_dim});
}

// for (i = 0; i < kv_tile; ++i) {
//   key = clamp(kv + i, first, last - 1);  then = kv + i + keys ahead;
//   k_rows[i] = lists ? list of k[key] : key;            k_to_come[i] = lists ? list of k[then] : then;
//   v_rows[i] = v + row_bytes * (lists ? list of v[key] : key);  v_to_come[i] = lists ? list of v[then] : then;
// }
void emit_rows_of_step(Emitter& e, RowBlock& b, const KeyStep& step) {
  auto& ir = e.ir();
  const ArgFields run{e, step.run};
  const StreamedRows k = keys_of(e, b, step, RowsFrom::kMemory), v = values_of(e, b, step, RowsFrom::kMemory);
  const std::int32_t k_ahead = plan::keys_ahead(b.key, b.key.head_dim), v_ahead = plan::keys_ahead(b.key, b.key.v_head_dim);
  const Ptr k_list = run.pointer(offsetof(plan::KeyRun, k_rows), "k_rows");
  const Ptr v_list = run.pointer(offsetof(plan::KeyRun, v_rows), "v_rows");
  const Int kv = e.narrow(step.kv), first = e.narrow(step.first), last = e.narrow(e.sub(step.last, e.index(1)));
  const auto inside = [&](Int keys, Int lowest, Int highest) {
    auto* below = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, keys.value, highest.value);
    return Int{ir.CreateBinaryIntrinsic(llvm::Intrinsic::smax, below, lowest.value)};
  };
  const auto even = [&] {
    const int bytes = 4 * e.lanes();
    for (int offset = 0; offset < b.key.tiling.kv_tile; offset += e.lanes()) {
      const Int keys = e.add(e.broadcast(e.add(kv, e.constant_int(offset))), e.lane_numbers());
      const Int read = inside(keys, e.broadcast(first), e.broadcast(last));
      e.store(read.value, b.k_rows.at(e.index(offset)), bytes);
      e.store(e.add(keys, e.broadcast(e.constant_int(k_ahead))).value, k.to_come.at(e.index(offset)), bytes);
      e.store(e.add(keys, e.broadcast(e.constant_int(v_ahead))).value, v.to_come.at(e.index(offset)), bytes);
      auto* longs = e.shaped(ir.getInt64Ty(), read.value);
      const auto splat = [&](llvm::Value* x) { return ir.CreateVectorSplat(static_cast<unsigned>(e.lanes()), x); };
      auto* apart = ir.CreateMul(ir.CreateSExt(read.value, longs), splat(v.row_bytes().value));
      auto* places = ir.CreateAdd(splat(ir.CreatePtrToInt(v.rows.data.value, ir.getInt64Ty())), apart);
      e.store(places, b.v_rows.at(e.index(offset)), bytes);
    }
  };
  const auto listed = [&] {
    e.for_range("listed", e.index(0), e.index(b.key.tiling.kv_tile), e.index(1), [&](Index column) {
      const auto number = [&](Ptr list, Index key) { return e.load_int(e.anywhere(list, e.mul(key, e.index(4)))); };
      const auto to_come = [&](std::size_t field, Ptr list, Index key, std::int32_t ahead) {
        const Ptr own = run.pointer(field);
        const Bool is_own{ir.CreateIsNotNull(own.value)};
        return number(e.select(is_own, own, list), e.select(is_own, key, e.add(key, e.index(ahead))));
      };
      const Index key = e.add(step.kv, column), read = e.widen(inside(e.narrow(key), first, last));
      e.store(number(k_list, read).value, b.k_rows.at(column));
      e.store(to_come(offsetof(plan::KeyRun, k_to_come), k_list, key, k_ahead).value, k.to_come.at(column));
      e.store(to_come(offsetof(plan::KeyRun, v_to_come), v_list, key, v_ahead).value, v.to_come.at(column));
      e.store(v.row(number(v_list, read)).value, b.v_rows.at(column));
    });
  };
  e.if_else("rows", Bool{ir.CreateIsNull(k_list.value)}, even, listed);
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

// if (ends && !careful) for (r = 0; r < rows; ++r) {
//   sum[r] = reduce(sum_lanes[r]); unsettled[r] = o[r] is not finite; if (unsettled[r]) { o[r] = 0; scale[r] = kHeadroom; }
// }
Bool emit_states(Emitter& e, RowBlock& b, Bool careful) {
  const SourceScope part = e.part(plan::Part::kOutput);
  return b.unsettled.for_rows(
      "state", e.select(careful, e.index(0), e.select(b.item.ends, b.item.rows, e.index(0))), [&](Index row) {
        const Float lanes = b.sum_lanes.load_vector(row, e.index(0));
        e.store(e.reduce_add(lanes).value, e.at_real(b.item.sum, row));
        emit_dims_in_order(e, b, row);
        // 0 * o is 0 where o is finite, else NaN.
        const Float zeros = e.broadcast(e.real(0.0));
        const Values seen = e.for_range("state.o", e.index(0), e.index(b.o.stride), e.index(e.lanes()), {zeros.value},
                                        [&](Index d, const Values& so_far) {
                                          return Values{e.fma(b.o.load_vector(row, d), zeros, Float{so_far[0]}).value};
                                        });
        b.unsettled.set(row, e.any(e.compare(FloatOrder::kNe, Float{seen[0]}, zeros)), [&] {
          b.o.clear(row);
          e.store(e.real(kHeadroom).value, e.at_real(b.item.scale, row));
        });
      });
}

}  // namespace flexjit::codegen
