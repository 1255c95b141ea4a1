// A tile of query rows and what is kept of it in the scratch, as the parts of the prefill nest share it. Rows go in groups of
// micro_rows, keys in tiles of kv_tile columns and panels of one vector.
#pragma once

#include "codegen/parts/item.h"
#include "codegen/parts/queries.h"
#include "codegen/parts/real_rows.h"
#include "codegen/parts/tables.h"
#include "codegen/parts/weights.h"
#include "plan/scratch.h"

namespace flexjit::codegen {

struct QueryTile {
  QueryTile(Emitter& e, const plan::KernelKey& key, const PrefillItem& item, const Units& units);

  Emitter& e;
  const plan::KernelKey& key;
  const PrefillItem& item;
  const Units units;
  const Weights weights;
  const plan::KernelLayout layout;
  const plan::ScratchLayout at;
  const CellRows q;
  const RealRows s, o, max_lanes, sum_lanes, row_max, base, rescale, least;
  const UnsettledRows unsettled;
};

// The columns [kv, kv + count) and the bounds of their span: columns outside are not allowed.
struct KeyTile {
  Index kv{}, count{};
  Int begin{}, end{};
  Bool bounded{};  // the bounds may cut a panel, or the mask decides; else every pair is allowed
  Bool masked{};   // the mask decides; else every column inside the bounds is allowed
  Bool fine{};     // no read needs to be checked
};

// for (kv = span.begin rounded down to a panel; kv < span.end; kv += kv_tile) body({kv, min(kv_tile, span.end - kv), ...})
void for_key_tiles(const QueryTile& t, const Span& span, llvm::function_ref<void(KeyTile)> body);
// for (row = 0, group = 0; row < rows; row += micro_rows, ++group) body(group, row)
void for_groups(const QueryTile& t, const char* name, llvm::function_ref<void(Index group, Index row)> body);

void emit_initial_state(const QueryTile& t);
// Tables of rows, and of the columns and diagonals of a key tile. They return that the reads in them need no check.
Bool fill_rows(const QueryTile& t, Tables& tables);
Bool fill_diagonals(const QueryTile& t, Tables& tables, const KeyTile& keys);

}  // namespace flexjit::codegen
