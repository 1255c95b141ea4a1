// A tile of query rows, what is kept of it in the scratch, and what the prefill nest does with it. Rows go in groups of
// micro_rows, keys in tiles of kv_tile columns and panels of one vector; a strip is micro_vectors panels.
#pragma once

#include "codegen/parts/item.h"
#include "codegen/parts/queries.h"
#include "codegen/parts/real_rows.h"
#include "codegen/parts/scores.h"
#include "codegen/parts/weights.h"
#include "plan/scratch.h"

namespace flexjit::codegen {

// Everything of an item, loaded as it is made.
struct QueryTile {
  Emitter& e;
  const plan::KernelKey& key;
  const PrefillItem item;
  const plan::KernelLayout layout = plan::layout_of(key);
  const plan::ScratchLayout at = plan::scratch_of(key);
  Tables tables{e, key, item.launch, item.indices, table_layout()};
  const Units units =
      units_of(e, item.launch.scale, key.program.score().valid() ? RestGoes::kToProducts : RestGoes::kToExponent);
  const Scores scores{e, tables, item.fault, item.q_count, units.product};
  const Weights weights{e, key.weights, units.exponent, layout.v_group == 1 ? Precision::kFast : Precision::kCoarse};
  const RealRows q{e, item.scratch, at.q, layout.k_depth};
  const RealRows s{e, item.scratch, at.s, at.s_stride}, o{e, item.scratch, at.o, layout.v_padded};
  const RealRows max_lanes{e, item.scratch, at.max_lanes, layout.lanes}, sum_lanes{e, item.scratch, at.sum_lanes, layout.lanes};
  const RealRows row_max{e, item.scratch, at.row_max, 1}, base{e, item.scratch, at.base, 1};
  const RealRows rescale{e, item.scratch, at.rescale, 1}, least{e, item.scratch, at.least, 1};
  const UnsettledRows unsettled{{e, item.scratch, at.unsettled}};

 private:
  TableLayout table_layout() const {
    return {.scratch = item.scratch,
            .row = {at.row_values, key.tiling.q_tile},
            .column = {at.column_values, key.tiling.kv_tile},
            .slot_offset = SlotOffset::kInPointer,
            .diagonal = {at.diagonal_values, at.diagonals},
            .last_row = key.tiling.q_tile - 1};
  }
};

// The columns [kv, kv + count) and the bounds of their span: columns outside are not allowed.
struct KeyTile {
  Index kv{}, count{};
  Int begin{}, end{};
  Bool bounded{};  // the bounds may cut a panel, or the mask decides; else every pair is allowed
  Bool masked{};   // the mask decides; else every column inside the bounds is allowed
  Bool fine{};     // no read needs to be checked
};

// The columns [column, column + strip) of a key tile and the micro_rows rows from `row` on.
struct MicroTile {
  Index column, row, group;
  Index panels;          // a bit for each of its panels that lies before the end of the group's columns
  Index visited, whole;  // of these
};

// query_tile.cpp
// for (kv = span.begin rounded down to a panel; kv < span.end; kv += kv_tile) body({kv, min(kv_tile, span.end - kv), ...})
void for_key_tiles(Emitter& e, QueryTile& t, const Span& span, llvm::function_ref<void(KeyTile)> body);
// for (row = 0, group = 0; row < rows; row += micro_rows, ++group) body(group, row)
void for_groups(Emitter& e, QueryTile& t, const char* name, llvm::function_ref<void(Index group, Index row)> body);
void emit_initial_state(Emitter& e, QueryTile& t);
// Tables of rows; of columns and diagonals of a key tile. Both return that the reads in them are in range.
Bool fill_row_table(Emitter& e, QueryTile& t);
Bool fill_key_tables(Emitter& e, QueryTile& t, const KeyTile& keys);

// visits.cpp: which panels of a key tile each group visits, and in which of them every pair is allowed.
// Least and greatest values of row and column tables, by group and by panel.
void emit_row_ranges(Emitter& e, QueryTile& t);
void store_column_ranges(Emitter& e, QueryTile& t, const Scope& scope, Index panel);
void emit_visits(Emitter& e, QueryTile& t, const KeyTile& keys);
// for each group: if (it visits columns of the strip at `offset`) body(from the first that it visits + offset on)
void for_visiting_groups(Emitter& e, QueryTile& t, Index offset, llvm::function_ref<void(const MicroTile&)> body);
// Of the panel at `column`, any row of the group allows the lanes of `allowed`.
void narrow_visit(Emitter& e, QueryTile& t, Index group, Index column, Index allowed);
Index visit_field(Emitter& e, QueryTile& t, Index group, std::size_t field);  // an offset in plan::Visit

// score_tile.cpp: micro_rows x strip of Q K^T in registers, then score_mod, mask_mod and the running maximum.
void emit_score_tile(Emitter& e, QueryTile& t, const KeyTile& keys, const MicroTile& micro);

// tile_weights.cpp: P = exp(S - max), sums; O = rescale * O + P V; both for rows that are not settled, by themselves.
void emit_weights(Emitter& e, QueryTile& t);
void emit_values(Emitter& e, QueryTile& t, const KeyTile& keys);
void emit_careful_values(Emitter& e, QueryTile& t, const KeyTile& keys);

// results.cpp: finished rows, to the caller. Returns that any row is left to the careful pass.
Bool emit_results(Emitter& e, QueryTile& t, Bool careful);

}  // namespace flexjit::codegen
