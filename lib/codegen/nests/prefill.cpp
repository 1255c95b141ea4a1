// One fused, tiled attention loop nest for one KernelKey: the function `attend` of kernel_abi.h. The nest, outermost first:
//
//   for span in spans:                         skip what the block mask proved empty
//     for key tile of kv_tile columns:
//       for group of micro_rows rows:          which panels of the tile have an allowed pair, which have only such
//       for strip of micro_vectors panels, for group:
//                                              S = Q K^T in registers, score_mod and mask_mod in its epilogue, running max
//       for group:                             P = exp(S - max), sums, rescale factors
//       for chunk of value dims, for group:    O = rescale * O + P V in registers
//
// and once more, carefully (parts/careful.h), for rows whose output is not finite.
#include <cstddef>

#include "codegen/nests/nests.h"
#include "codegen/parts/results.h"
#include "codegen/parts/score_tile.h"
#include "codegen/parts/tile_weights.h"

namespace flexjit::codegen {
namespace {

using plan::TileArg;

TableLayout table_layout(const QueryTile& t) {
  const auto q_tile = t.key.tiling.q_tile;
  return {.row = {t.at.row_values, q_tile},
          .column = {t.at.column_values, t.key.tiling.kv_tile},
          .slot_offset = SlotOffset::kInPointer,
          .diagonal = {t.at.diagonal_values, t.at.diagonals},
          .last_row = q_tile - 1};
}

}  // namespace

// careful = false; do { spans; careful = results; } while (careful);
// One function, so that the loops are seen at once.
void emit_prefill(Emitter& e, const plan::KernelKey& key) {
  const Ptr arg = e.begin_function("attend", "tile");
  const SourceScope setup = e.part(plan::Part::kSetup);
  const PrefillItem item = load_prefill_item(e, key, arg);
  Tables tables(e, key.program, plan::hoist(key.program, key.nest), item.launch, item.indices);
  const RestGoes rest = key.program.score().valid() ? RestGoes::kToProducts : RestGoes::kToExponent;
  const QueryTile t(e, key, item, units_of(e, item.launch.scale, rest));
  tables.scratch = item.scratch;
  tables.layout = table_layout(t);
  const Scores scores{e, tables, item.fault, item.q_count, t.units.product};
  emit_query_rows(e, key, item, t.q, t.units.query);
  emit_initial_state(t);
  const Bool rows_fine = fill_rows(t, tables);
  emit_row_ranges(t, tables);
  e.repeat("pass", [&](Bool careful) {
    for_spans(e, arg, {offsetof(TileArg, span_count), offsetof(TileArg, spans)}, [&](const Span& span) {
      for_key_tiles(t, span, [&](KeyTile keys) {
        const Bool columns_fine = tables.fill_columns(
            keys.kv, keys.count, e.constant_bool(true),
            [&](const Scope& scope, Index column) { store_column_ranges(t, tables, scope, e.panel_of(column)); });
        const Bool diagonals_fine = fill_diagonals(t, tables, keys);
        keys.fine = e.logical_and(rows_fine, e.logical_and(columns_fine, diagonals_fine));
        emit_visits(t, tables, keys);
        e.for_range("strip", e.index(0), keys.count, e.index(t.layout.strip), [&](Index offset) {
          for_groups(t, "group", [&](Index group, Index row) {
            if_visited(t, group, row, offset, [&](const MicroTile& micro) { emit_score_tile(t, scores, keys, micro); });
          });
        });
        e.if_else(
            "careful", careful, [&] { emit_careful_values(t, keys); },
            [&] {
              emit_tile_weights(t);
              emit_value_product(t, keys);
            });
      });
    });
    return emit_results(t, careful);
  });
  e.end_function();
}

}  // namespace flexjit::codegen
