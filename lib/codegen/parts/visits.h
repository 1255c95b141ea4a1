// Which panels of a key tile each group of rows visits, and in which of them every pair is allowed: the second level of the
// block mask, found by the kernel itself. A visit (plan/scratch.h) is two bit masks over panels and the columns that they span.
#pragma once

#include "codegen/parts/query_tile.h"

namespace flexjit::codegen {

// The columns [column, column + strip) of a key tile and the micro_rows rows from `row` on.
struct MicroTile {
  Index column, row, group;
  Index panels;          // a bit for each of its panels that lies before the end of the group's columns
  Index visited, whole;  // of these
};

// Least and greatest values of row and column tables, by group and by panel.
void emit_row_ranges(const QueryTile& t, const Tables& tables);
void store_column_ranges(const QueryTile& t, const Tables& tables, const Scope& scope, Index panel);
void emit_visits(const QueryTile& t, const Tables& tables, const KeyTile& keys);
// if (the group visits columns of the strip at `offset`) body(from the first that it visits + offset on)
void if_visited(const QueryTile& t, Index group, Index row, Index offset, llvm::function_ref<void(const MicroTile&)> body);
// Of the panel at `column`, any row of the group allows the lanes of `allowed`.
void narrow_visit(const QueryTile& t, Index group, Index column, Index allowed);
// `field`: an offset in plan::Visit.
Index visit_field(const QueryTile& t, Index group, std::size_t field);

}  // namespace flexjit::codegen
