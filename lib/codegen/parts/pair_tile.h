// A tile of query rows and the keys that it meets, tile by tile: which of their pairs are visited, and the tables of what the
// program needs of rows, columns and diagonals. Rows go in groups of micro_rows, keys in tiles of kv_tile columns and panels of
// one vector; a strip is micro_vectors panels.
#pragma once

#include <array>

#include "codegen/parts/item.h"
#include "codegen/parts/tables.h"
#include "plan/sizes/scratch.h"

namespace flexjit::codegen {

struct PairTile {
  PairTile(Emitter& emitter, const plan::KernelKey& of, const TileItem& tile, const plan::TileSections& where)
      : e(emitter), key(of), item(tile), sections(where), tables(e, key, item.launch, item.indices, table_layout()) {}

  Emitter& e;
  const plan::KernelKey& key;
  const TileItem item;
  const plan::KernelLayout layout = plan::layout_of(key);
  const plan::TileSections sections;
  Tables tables;

 private:
  TableLayout table_layout() const {
    return {.scratch = item.scratch,
            .row = {sections.row_values, key.tiling.q_tile},
            .column = {sections.column_values, key.tiling.kv_tile},
            .slot_offset = SlotOffset::kInPointer,
            .diagonal = {sections.diagonal_values, sections.diagonals},
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

// The lanes of the vector at `column` whose keys are in the tile's span.
Bool columns_inside(Emitter& e, const KeyTile& keys, Index column);

// The columns [column, column + strip) of a key tile and the micro_rows rows from `row` on.
struct MicroTile {
  Index column, row, group;
  Index panels;          // a bit for each of its panels that lies before the end of the group's columns
  Index visited, whole;  // of these
};

// pair_tile.cpp
// for (kv = span.begin rounded down to a panel; kv < span.end; kv += kv_tile) body({kv, min(kv_tile, span.end - kv), ...})
void for_key_tiles(Emitter& e, PairTile& t, const Span& span, llvm::function_ref<void(KeyTile)> body);
// for (row = 0, group = 0; row < rows; row += micro_rows, ++group) body(group, row)
void for_groups(Emitter& e, PairTile& t, const char* name, llvm::function_ref<void(Index group, Index row)> body);
// Tables of rows; of columns and diagonals of a key tile. Both return that the reads in them are in range.
Bool fill_row_table(Emitter& e, PairTile& t);
Bool fill_key_tables(Emitter& e, PairTile& t, const KeyTile& keys);

// visits.cpp: which panels of a key tile each group visits, and in which of them every pair is allowed.
// Least and greatest values of row and column tables, by group and by panel.
void emit_row_ranges(Emitter& e, PairTile& t);
void store_column_ranges(Emitter& e, PairTile& t, const Scope& scope, Index panel);
// What becomes of the pairs of a group that lie in panels that it does not visit, though others of the tile are: fill stores
// one vector at a row and a column.
enum class Holes : std::uint8_t {
  kBetween,  // those between the first and the last panel that the group visits
  kAll,      // those of the whole tile
};
struct HoleFill {
  Holes which;
  llvm::function_ref<void(Index row, Index column)> fill;
};
void emit_visits(Emitter& e, PairTile& t, const KeyTile& keys, const HoleFill& holes);
// for each group: if (it visits columns of the strip at `offset`) body(from the first that it visits + offset on)
void for_visiting_groups(Emitter& e, PairTile& t, Index offset, llvm::function_ref<void(const MicroTile&)> body);
// Of the panel at `column`, any row of the group allows the lanes of `allowed`.
void narrow_visit(Emitter& e, PairTile& t, Index group, Index column, Index allowed);
Index visit_field(Emitter& e, PairTile& t, Index group, std::size_t field);  // an offset in plan::Visit

// micro_tile.cpp: whether so many of its panels are visited that a strip is computed as a whole.
Bool is_wide(Emitter& e, PairTile& t, const MicroTile& micro);
// body(the micro-tile, from the panel on) for each visited panel; the names of the loop and of a panel's block
void for_visited_panels(Emitter& e, PairTile& t, const MicroTile& micro, std::array<const char*, 2> names,
                        llvm::function_ref<void(const MicroTile&)> body);
// micro_rows x vectors products: of rows of cells with packed panels, from the micro-tile's column on.
struct PanelProduct {
  const char* name;
  Ptr rows;                // the micro-tile's first row
  Ptr panels;              // of key 0
  std::int64_t depth;      // cells that are multiplied
  std::int64_t row_cells;  // between two rows
  int vectors;
};
Values emit_panel_product(Emitter& e, PairTile& t, const KeyTile& keys, const MicroTile& micro, const PanelProduct& of);

}  // namespace flexjit::codegen
