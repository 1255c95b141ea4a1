// The gradients of one tile of query rows and one tile of keys, for one KernelKey: the function `gradients` of kernel_abi.h,
// beside those that take and give rows. Weights are computed again from the log-sum-exp that the forward pass left; no more of
// them exist than those of a tile. The nest, outermost first:
//
//   for span in spans:                          skip what the block mask proved empty
//     for key tile:
//       for group of micro_rows rows:           which panels of the tile have an allowed pair, which have only such
//       for strip of micro_vectors panels, for group:
//                                               S = Q K^T, dP = dO V^T in registers; P, dS = score_mod's derivative of P (dP -
//                                               delta)
//       for chunk of dims, for micro_rows keys: dV += P^T dO, dK += dS^T Q in registers, over the rows that visit the keys
//       for chunk of dims, for group:           dQ += dS K in registers, over the keys that the group visits
#include <cstddef>

#include "codegen/backward/gradient_tile.h"
#include "codegen/nests/nests.h"

namespace flexjit::codegen {

using plan::GradientsArg;

// One function, so that the loops are seen at once.
void emit_backward(Emitter& e, const plan::KernelKey& key) {
  const Ptr arg = e.begin_function("gradients", "tile");
  const SourceScope setup = e.part(plan::Part::kSetup);
  GradientTile t{e, key, load_gradient_item(e, key, arg)};
  const Bool rows_fine = fill_row_table(e, t);
  emit_row_ranges(e, t);
  t.accumulations.emit_begin();
  for_spans(e, arg, {offsetof(GradientsArg, span_count), offsetof(GradientsArg, spans)}, [&](const Span& span) {
    for_key_tiles(e, t, span, [&](KeyTile keys) {
      keys.fine = e.logical_and(rows_fine, fill_key_tables(e, t, keys));
      emit_visits(e, t, keys, {Holes::kAll, [&](Index row, Index column) { store_no_gradient(e, t, row, column); }});
      emit_row_reaches(e, t, keys);
      t.accumulations.emit_tile_begin(keys);
      e.for_range("strip", e.index(0), keys.count, e.index(t.layout.strip), [&](Index offset) {
        for_visiting_groups(e, t, offset, [&](const MicroTile& micro) { emit_pair_gradients(e, t, keys, micro); });
      });
      t.accumulations.emit_tile_end(keys);
      emit_key_gradients(e, t, keys);
      emit_query_gradients(e, t, keys);
    });
  });
  t.accumulations.emit_end();
  e.end_function();
}

}  // namespace flexjit::codegen
