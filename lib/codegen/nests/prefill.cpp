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
#include "codegen/prefill/query_tile.h"

namespace flexjit::codegen {

using plan::TileArg;

// careful = false; do { spans; careful = results; } while (careful);
// One function, so that the loops are seen at once.
void emit_prefill(Emitter& e, const plan::KernelKey& key) {
  const Ptr arg = e.begin_function("attend", "tile");
  const SourceScope setup = e.part(plan::Part::kSetup);
  QueryTile t{e, key, load_prefill_item(e, key, arg)};
  emit_query_rows(e, key, t.prefill, t.q, t.units.query);
  emit_initial_state(e, t);
  const Bool rows_fine = fill_row_table(e, t);
  emit_row_ranges(e, t);
  e.repeat("pass", [&](Bool careful) {
    for_spans(e, arg, {offsetof(TileArg, span_count), offsetof(TileArg, spans)}, [&](const Span& span) {
      for_key_tiles(e, t, span, [&](KeyTile keys) {
        keys.fine = e.logical_and(rows_fine, fill_key_tables(e, t, keys));
        emit_visits(e, t, keys, {Holes::kBetween, [&](Index row, Index column) { store_masked(e, t, row, column); }});
        e.for_range("strip", e.index(0), keys.count, e.index(t.layout.strip), [&](Index offset) {
          for_visiting_groups(e, t, offset, [&](const MicroTile& micro) { emit_score_tile(e, t, keys, micro); });
        });
        e.if_else(
            "careful", careful, [&] { emit_careful_values(e, t, keys); },
            [&] {
              emit_weights(e, t);
              emit_values(e, t, keys);
            });
      });
    });
    return emit_results(e, t, careful);
  });
  e.end_function();
}

}  // namespace flexjit::codegen
