// One micro-tile of scores. A strip in which a group visits few panels is computed panel by panel, so that narrow windows and
// the edges of documents waste little. The whole epilogue serves micro-tiles in which every pair is allowed: in registers for
// cheap mods, row by row over stored scores for others, whose unrolled copies would cost more than they save. The masked
// epilogue, a loop over panels and rows, serves the edges of masks and of the tensors, and reads that must be checked.
#include <array>

#include "codegen/prefill/query_tile.h"

namespace flexjit::codegen {
namespace {

using plan::Level;

// Score mods that cost more vector instructions than this are not unrolled.
constexpr std::int32_t kUnrolledCost = 400;

Values query_key_product(Emitter& e, QueryTile& t, const KeyTile& keys, const MicroTile& micro, int vectors) {
  const SourceScope part = e.part(plan::Part::kQueryKey);
  return emit_panel_product(e, t, keys, micro,
                            {.name = vectors == 1 ? "qk_narrow" : "qk",
                             .rows = t.q.cells_at(micro.row),
                             .panels = t.prefill.k_panels,
                             .depth = t.layout.k_depth,
                             .row_cells = t.layout.k_depth,
                             .vectors = vectors});
}

void store_scores(Emitter& e, QueryTile& t, const MicroTile& micro, const Values& scores) {
  const SourceScope part = e.part(plan::Part::kQueryKey);
  const int rows = t.key.tiling.micro_rows, vectors = static_cast<int>(scores.size()) / rows;
  VectorTile{e, e.opaque(t.s.at(micro.row, micro.column)), t.s.stride, rows, vectors}.store(scores);
}

// maxima = max(scores, maxima), NaN ignored. The load is volatile because LLVM makes one masked store of it, the maximum and
// the store, and with AVX2 some processors take tens of cycles for that.
void emit_running_max(Emitter& e, Ptr maxima, Float scores) {
  const Float old = e.load_reals(maxima, vector_bytes(e));
  llvm::cast<llvm::LoadInst>(old.value)->setVolatile(true);
  e.store(e.max(scores, old).value, maxima, vector_bytes(e));
}

// One row of a micro-tile, from `column` on, and the running maxima of the row.
struct ScoreRow {
  Index row, column;
  Ptr scores, maxima;
};

// S[row][column + j] = score_mod(products[j]), unrolled; then the row's running maximum
void emit_whole_row(Emitter& e, const Scores& scores, const ScoreRow& at, llvm::ArrayRef<llvm::Value*> products) {
  const Tables& tables = scores.tables;
  Scope of_row = tables.without_flags();
  of_row.whole = true;
  tables.load(of_row, Level::kRow, at.row, Stored::kValues);
  Float max;
  for (std::size_t j = 0; j < products.size(); ++j) {
    const Index offset = e.index(static_cast<std::int64_t>(j) * e.lanes());
    const Index column = e.add(at.column, offset);
    Scope scope = of_row;
    tables.load(scope, Level::kColumn, column, Stored::kValues);
    tables.load(scope, Level::kDiagonal, tables.diagonal_of(at.row, column), Stored::kValues);
    const Float score = scores.modified(scope, Float{products[j]});
    if (tables.hoisting.checks_elements) scores.check(scope, {.row = at.row}, tables.hoisting.in_score, e.constant_bool(true));
    e.store(score.value, e.at_real(at.scores, offset), vector_bytes(e));
    max = max ? e.max(score, max) : score;
  }
  emit_running_max(e, at.maxima, max);
}

// for (j = 0; j < micro_vectors; ++j) the same for one vector: copies of a large mod cost more time to compile than they save.
void emit_whole_panels(Emitter& e, QueryTile& t, const ScoreRow& at) {
  e.for_range("whole.panel", e.index(0), e.index(t.key.tiling.micro_vectors), e.index(1), [&](Index panel) {
    const Index offset = e.mul(panel, e.index(e.lanes()));
    const ScoreRow one{
        .row = at.row, .column = e.add(at.column, offset), .scores = e.at_real(at.scores, offset), .maxima = at.maxima};
    emit_whole_row(e, t.scores, one, {e.load_reals(one.scores, vector_bytes(e)).value});
  });
}

// for each row r: whole_row
void emit_whole_epilogue(Emitter& e, QueryTile& t, const MicroTile& micro, const Values& products) {
  const SourceScope part = e.part(plan::Part::kScores);
  const int vectors = t.key.tiling.micro_vectors;
  const std::int32_t cost = t.tables.hoisting.score_cost;
  const Ptr first = e.opaque(t.s.at(micro.row, micro.column)), maxima = e.opaque(t.max_lanes.at(micro.row));
  if (cost <= plan::kRegisterEpilogueCost) {
    for (int r = 0; r < t.key.tiling.micro_rows; ++r) {
      const ScoreRow row{.row = e.add(micro.row, e.index(r)),
                         .column = micro.column,
                         .scores = e.at_real(first, e.index(r * t.s.stride)),
                         .maxima = e.at_real(maxima, e.index(std::int64_t{r} * e.lanes()))};
      const llvm::ArrayRef<llvm::Value*> all = products;
      emit_whole_row(e, t.scores, row, all.slice(static_cast<std::size_t>(r * vectors), static_cast<std::size_t>(vectors)));
    }
    return;
  }
  store_scores(e, t, micro, products);
  e.for_range("whole.row", micro.row, e.add(micro.row, e.index(t.key.tiling.micro_rows)), e.index(1), [&](Index row) {
    const ScoreRow of_row{
        .row = row, .column = micro.column, .scores = e.opaque(t.s.at(row, micro.column)), .maxima = t.max_lanes.at(row)};
    if (cost > kUnrolledCost) return emit_whole_panels(e, t, of_row);
    emit_whole_row(e, t.scores, of_row, VectorTile{e, of_row.scores, t.s.stride, 1, vectors}.load());
  });
}

// allowed = span.begin <= kv_idx < span.end && (mask_mod || !masked); s = allowed ? score_mod(s) : -inf; running maximum
Bool emit_masked_scores(Emitter& e, QueryTile& t, const KeyTile& keys, Place at, Scope scope) {
  t.tables.load(scope, Level::kRow, at.row, Stored::kValues);
  t.tables.load(scope, Level::kDiagonal, t.tables.diagonal_of(at.row, at.column), Stored::kValues);
  const Ptr address = t.s.at(at.row, at.column);
  const Float product = e.load_reals(address, vector_bytes(e));
  at.inside = columns_inside(e, keys, at.column);
  const auto [score, allowed] = t.scores.masked(scope, product, at);
  e.store(score.value, address, vector_bytes(e));
  emit_running_max(e, t.max_lanes.at(at.row), score);
  return allowed;
}

// for (j = 0; j < micro_vectors; ++j) if (panel j is visited)
//   for (r = row; r < row + micro_rows; ++r) allowed |= masked_scores(r, column + j * lanes)
//   narrow_visit(group, column + j * lanes, allowed)
void emit_masked_epilogue(Emitter& e, QueryTile& t, const KeyTile& keys, const MicroTile& micro) {
  const SourceScope part = e.part(plan::Part::kMaskedScores);
  for_visited_panels(e, t, micro, {"epilogue.panel", "epilogue.visited"}, [&](const MicroTile& panel) {
    Scope of_columns = t.tables.without_flags();
    t.tables.load(of_columns, Level::kColumn, panel.column, Stored::kValues);
    const Index end = e.add(panel.row, e.index(t.key.tiling.micro_rows));
    const Values allowed =
        e.for_range("epilogue.row", panel.row, end, e.index(1), {e.index(0).value}, [&](Index row, const Values& so_far) {
          const Bool in_row = emit_masked_scores(e, t, keys, {row, panel.column, {}, keys.masked, keys.fine}, of_columns);
          return Values{e.bit_or(Index{so_far[0]}, e.lane_bits(in_row)).value};
        });
    narrow_visit(e, t, panel.group, panel.column, Index{allowed[0]});
  });
}

}  // namespace

void store_masked(Emitter& e, QueryTile& t, Index row, Index column) {
  e.store(e.broadcast(e.lowest()).value, t.s.at(row, column), vector_bytes(e));
}

// if (wide) { acc = q k over the strip; if (whole) return whole_epilogue(acc); S = acc; }
// else for each visited panel: S = q k
// masked_epilogue
void emit_score_tile(Emitter& e, QueryTile& t, const KeyTile& keys, const MicroTile& micro) {
  const int vectors = t.key.tiling.micro_vectors;
  const Index all = e.index((std::int64_t{1} << vectors) - 1);
  const Bool is_whole = e.equal(micro.whole, all);
  const Bool wide = is_wide(e, t, micro);
  e.if_else(
      "wide", wide,
      [&] {
        const Values products = query_key_product(e, t, keys, micro, vectors);
        e.if_else(
            "whole", is_whole, [&] { emit_whole_epilogue(e, t, micro, products); },
            [&] { store_scores(e, t, micro, products); });
      },
      [&] {
        const SourceScope part = e.part(plan::Part::kQueryKey);
        for_visited_panels(e, t, micro, {"narrow", "narrow.visited"},
                           [&](const MicroTile& panel) { store_scores(e, t, panel, query_key_product(e, t, keys, panel, 1)); });
      });
  e.if_then("partial", e.logical_not(is_whole), [&] {
    // A wide product has left scores in every panel; those that are not visited become -inf like any masked score.
    MicroTile stored = micro;
    stored.visited = e.select(wide, micro.panels, micro.visited);
    emit_masked_epilogue(e, t, keys, stored);
  });
}

}  // namespace flexjit::codegen
