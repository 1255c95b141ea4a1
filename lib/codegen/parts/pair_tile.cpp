// The loops over a tile's keys and groups, and the tables that are computed before them.
#include "codegen/parts/pair_tile.h"

namespace flexjit::codegen {
namespace {

using plan::Level;

// for (t = 0; t < diagonals; t += lanes) { kv_idx - q_idx = kv - (q_begin + q_tile - 1) + t + lane; diagonal_values[slot][t..]
// = ...; } Diagonal values are computed at the query q_begin, where the key may lie outside the lengths: nothing depends on it
// alone. Only differences that occur between the span's columns and the tile's rows are read.
Bool fill_diagonals(Emitter& e, PairTile& t, const KeyTile& keys) {
  const SourceScope part = e.part(plan::Part::kDiagonalTables);
  if (t.tables.hoisting.diagonal_slots == 0) return e.constant_bool(true);
  const Int query = e.narrow(t.item.q_begin);
  const Index first_key = e.sub(keys.kv, e.index(t.key.tiling.q_tile - 1));
  const Index used = e.add(keys.count, e.index(t.key.tiling.q_tile - 1));
  const Int least = e.sub(keys.begin, e.narrow(e.sub(t.item.q_count, e.index(1))));
  return t.tables.fill("diagonal_values", Level::kDiagonal, used, e.constant_bool(true), [&](Scope& scope, Index diagonal) {
    const Int kv_idx = e.add(e.narrow(e.add(first_key, diagonal)), e.lane_numbers());
    *t.tables.leaf(scope, ir::Op::kQIdx) = query.value;
    *t.tables.leaf(scope, ir::Op::kKvIdx) = kv_idx.value;
    scope.active =
        e.logical_and(e.compare(llvm::CmpInst::ICMP_SGE, kv_idx, least), e.compare(llvm::CmpInst::ICMP_SLT, kv_idx, keys.end));
    t.tables.expressions.evaluate_along_diagonal(scope);
  });
}

}  // namespace

void for_key_tiles(Emitter& e, PairTile& t, const Span& span, llvm::function_ref<void(KeyTile)> body) {
  const Int kind = span.load_kind(e);
  KeyTile tile{.begin = span.begin,
               .end = span.end,
               .bounded = e.logical_not(is_kind(e, kind, plan::SpanKind::kWhole)),
               .masked = is_kind(e, kind, plan::SpanKind::kMasked)};
  const Int first = e.bit_and(span.begin, e.constant_int(-t.layout.lanes));
  const Index kv_tile = e.index(t.key.tiling.kv_tile);
  const Index last = e.widen(span.end);
  e.for_range("key_tile", e.widen(first), last, kv_tile, [&](Index kv) {
    tile.kv = kv;
    tile.count = e.min(kv_tile, e.sub(last, kv));
    body(tile);
  });
}

Bool columns_inside(Emitter& e, const KeyTile& keys, Index column) {
  const Int columns = e.add(e.narrow(e.add(keys.kv, column)), e.lane_numbers());
  return e.logical_and(e.compare(llvm::CmpInst::ICMP_SGE, columns, keys.begin),
                       e.compare(llvm::CmpInst::ICMP_SLT, columns, keys.end));
}

void for_groups(Emitter& e, PairTile& t, const char* name, llvm::function_ref<void(Index group, Index row)> body) {
  const Index micro_rows = e.index(t.key.tiling.micro_rows);
  e.for_range(name, e.index(0), t.item.rows, micro_rows, {e.index(0).value}, [&](Index row, const Values& group) {
    body(Index{group[0]}, row);
    return Values{e.add(Index{group[0]}, e.index(1)).value};
  });
}

// fine = uniform reads in range and contiguous;
// for (r = 0; r < rows; ++r) { q_idx = q_begin + min(r, q_count - 1); row_values[slot][r] = ...; fine &= row reads in range; }
Bool fill_row_table(Emitter& e, PairTile& t) {
  const SourceScope part = e.part(plan::Part::kRowTables);
  Bool fine = t.tables.expressions.unit_strides(Level::kElement);
  for (llvm::Value* flag : t.tables.uniform.flag) {
    if (flag != nullptr) fine = e.logical_and(fine, Bool{flag});
  }
  if (t.tables.hoisting.row_slots == 0) return fine;
  const Index last = e.sub(t.item.q_count, e.index(1));
  return t.tables.fill("row_values", Level::kRow, t.item.rows, fine, [&](Scope& scope, Index r) {
    *t.tables.leaf(scope, ir::Op::kQIdx) = e.narrow(e.add(t.item.q_begin, e.min(r, last))).value;
    t.tables.evaluate(scope, Level::kRow);
  });
}

Bool fill_key_tables(Emitter& e, PairTile& t, const KeyTile& keys) {
  const auto ranges = [&](const Scope& scope, Index column) { store_column_ranges(e, t, scope, e.panel_of(column)); };
  const Bool columns = t.tables.fill_columns(keys.kv, keys.count, e.constant_bool(true), ranges);
  const Bool diagonals = fill_diagonals(e, t, keys);
  return e.logical_and(columns, diagonals);
}

}  // namespace flexjit::codegen
