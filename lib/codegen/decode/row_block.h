// The few rows of a decode item, what is kept of them, and what the decode nest does with them: steps of keys whose rows of K
// and V are read once, as they lie, lanes along their dims.
#pragma once

#include <algorithm>
#include <optional>

#include "codegen/emit/storage.h"
#include "codegen/parts/item.h"
#include "codegen/parts/product.h"
#include "codegen/parts/queries.h"
#include "codegen/parts/real_rows.h"
#include "codegen/parts/scores.h"
#include "codegen/parts/weights.h"
#include "plan/sizes/decode.h"
#include "support/dtype.h"

namespace flexjit::codegen {

// A row as products read it, from one of its dims on.
struct RowPart {
  Ptr at_dim;    // where that dim lies
  Index column;  // of the row's key in the step
  Int number;    // of the row in the run, where that has scales by row
  Index dim;
};

// Rows of K or V of one run as products read them: the caller's, or reals in the scratch that were made of quantised ones.
struct StreamedRows {
  Emitter& e;
  Rows rows;
  ScratchInts to_come;  // by column of a step: the rows that are prefetched meanwhile
  DType dtype;
  std::int64_t dims;
  std::optional<GroupScales> scales{};  // of quantised rows whose scales multiply elements
  std::optional<RealRows> kept{};       // where what is read of quantised rows is left as reals, by column

  // Row 0 may lie outside the tensor.
  Ptr row(Int number) const { return e.anywhere(rows.data, e.mul(e.widen(number), row_bytes())); }
  Ptr row_to_come(Index column) const { return row(to_come.load(column)); }
  llvm::Value* load(Ptr row, Index element, VectorPart part) const {
    return load_first(e, at_element(e, row, element, dtype), dtype, part);
  }
  // How many elements cells() takes at best.
  int at_once() const { return support::is_quantised(dtype) ? widened_at_once(e, dtype) : operands_of(e).width; }
  // Elements from `offset` behind the part's dim on, times `scale` (empty: 1): a vector for each width of the operands.
  CellVectors cells(const RowPart& row, std::int64_t offset, VectorPart part, Float scale) const;
  // What the elements from there on are multiplied with, as many as share it; empty: 1. The part's dim is a multiple of the
  // dims that share one, or it and what is read of the part lie in one group.
  Float scale_of(const RowPart& row, std::int64_t offset) const;
  // Whether those from `offset` on have another than those before.
  bool is_next_group(std::int64_t offset) const { return offset == 0 || (scales && offset % scales->dims == 0); }
  std::int64_t element_bytes() const { return static_cast<std::int64_t>(size_of(dtype)); }
  std::int64_t dense_bytes() const { return dims * element_bytes(); }  // of a row
  Index row_bytes() const { return e.mul(rows.stride, e.index(element_bytes())); }
  // From the row to come of one column to that of another.
  Index bytes_to_come(Index from, Index to) const {
    return e.mul(e.widen(e.sub(to_come.load(to), to_come.load(from))), row_bytes());
  }
};

// Where rows of V lie, by column of a step.
struct RowPlaces {
  Emitter& e;
  Ptr scratch;
  std::int64_t section;

  Ptr at(Index column) const { return e.at_byte_offset(e.at_byte(scratch, section), e.mul(column, e.index(8))); }
  Ptr load(Index column) const { return e.load_pointer(at(column)); }
};

// The key columns [kv, kv + kv_tile), of which the span holds [first, last).
struct KeyStep {
  Index kv, first, last;
  Bool masked;  // the mask decides; else every key inside is allowed
  Ptr run;      // plan::KeyRun
};

// Everything of an item, loaded as it is made.
struct RowBlock {
  Emitter& e;
  const plan::KernelKey& key;
  const DecodeItem item;
  const plan::DecodeScratch at = plan::decode_scratch_of(key);
  const Units units = units_of(e, item.launch.scale, RestGoes::kToProducts);
  Tables tables{e, key, item.launch, item.indices, table_layout()};
  const Scores scores{e, tables, item.fault};
  const Weights weights{e, key.weights, units.exponent};
  const RealRows q{e, item.scratch, at.q, at.q_stride * e.lanes() / operands_of(e).width};
  const RealRows s{e, item.scratch, at.s, key.tiling.kv_tile}, sum_lanes{e, item.scratch, at.sum_lanes, e.lanes()};
  const RealRows o{e, item.o, {}, plan::layout_of(key).v_padded};
  const ScratchInts k_rows{e, item.scratch, at.k_rows};
  const RowPlaces v_rows{e, item.scratch, at.v_rows};
  const bool is_quantised = support::is_quantised(key.types.kv);
  const bool has_row_scales = is_quantised && key.types.scale_dims == 0;  // else those of groups of dims are part of the reals
  const RealRows real_rows{e, item.scratch, at.real_rows, at.real_stride};
  const RealRows k_scales{e, item.scratch, at.k_scales, key.tiling.kv_tile};
  const RealRows v_scales{e, item.scratch, at.v_scales, key.tiling.kv_tile};
  const UnsettledRows unsettled{{e, item.scratch, at.unsettled}};

 private:
  TableLayout table_layout() const {
    return {.scratch = item.scratch,
            .row = {at.row_values, key.tiling.q_tile},
            .column = {at.column_values, key.tiling.kv_tile},
            .slot_offset = SlotOffset::kInIndex};
  }
};

// What a chunk of query rows reads. The first of several converts quantised rows for the others too.
enum class RowsFrom : std::uint8_t {
  kMemory,  // and prefetches
  kMemoryAgain,
  kMemoryAndKeeps,  // of quantised rows, in the scratch
  kScratch,
};
// Query rows that one micro-tile takes.
struct RowChunk {
  Index row;
  int rows;
  RowsFrom from;

  bool fetches() const { return from == RowsFrom::kMemory || from == RowsFrom::kMemoryAndKeeps; }
};

// row_block.cpp
// for (kv = span.begin rounded down to a step; kv < span.end; kv += kv_tile)
//   body({kv, max(kv, span.begin), min(kv + kv_tile, span.end), ...});
void for_key_steps(Emitter& e, RowBlock& b, const Span& span, llvm::function_ref<void(const KeyStep&)> body);
// The rows of the columns of a step. Where a column lies outside the span, the nearest key inside it is read again: its score
// is masked, its weight 0.
void emit_rows_of_step(Emitter& e, RowBlock& b, const KeyStep& step);
// Loaded where they are used: registers are scarce in the loops.
StreamedRows keys_of(Emitter& e, RowBlock& b, const KeyStep& step, RowsFrom from);
StreamedRows values_of(Emitter& e, RowBlock& b, const KeyStep& step, RowsFrom from);
void emit_initial_state(Emitter& e, RowBlock& b);
void fill_row_table(Emitter& e, RowBlock& b);
// What the item leaves of its rows. Returns that any row is left to the careful pass.
Bool emit_states(Emitter& e, RowBlock& b, Bool careful);

// row_block.cpp
// for (row = 0; row < rows; row += count) body({row, count, ...});   count is micro_rows, less at the end
void for_chunks_of_rows(Emitter& e, RowBlock& b, const char* name, llvm::function_ref<void(const RowChunk&)> body);

// row_scales.cpp: where a row has one scale, k_scales[i] and v_scales[i] of the rows k_rows[i].
void emit_row_scales(Emitter& e, RowBlock& b, const KeyStep& step);

// key_products.cpp: S = Q K^T of one step, 4 keys x up to micro_rows rows at a time.
inline constexpr int kKeys = 4;
// Neighbouring keys of a step: their rows of K, where the lines to be prefetched begin, and the column of the first.
struct Keys {
  Int number[kKeys];  // of their rows
  Ptr row[kKeys], line[kKeys];
  Index between_lines;  // from a line to the next of the same row, or of all rows where they follow each other
  Index column;
};
// for (c = (first - kv) & -4; kv + c < last; c += 4) body(keys c .. c + 3);
void for_keys(Emitter& e, RowBlock& b, const KeyStep& step, llvm::function_ref<void(const Keys&)> body);
// for r: s[row + r][column .. column + 3] = q[row + r] K^T
void emit_key_products(Emitter& e, RowBlock& b, const KeyStep& step, const Keys& keys);

// row_weights.cpp: the scores of a step -> weights, row by row.
void emit_weights(Emitter& e, RowBlock& b, const KeyStep& step, Bool careful);

// value_products.cpp: O += P V of one step; the same for unsettled rows, one after another.
void emit_values(Emitter& e, RowBlock& b, const KeyStep& step);
void emit_careful_values(Emitter& e, RowBlock& b, const KeyStep& step);
// Puts a finished row of o into the order of the value dims.
void emit_dims_in_order(Emitter& e, RowBlock& b, Index row);

}  // namespace flexjit::codegen
