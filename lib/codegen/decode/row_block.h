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

// Rows of K or V of one run as products read them: the caller's, or reals in the scratch that were made of quantised ones.
struct StreamedRows {
  Emitter& e;
  Rows rows;
  Ptr ahead;  // row 0 of those that are prefetched; empty: none
  DType dtype;
  std::int64_t dims;
  std::optional<GroupScales> scales{};  // of quantised rows whose scales multiply elements
  std::optional<Rows> kept{};           // where what is read of quantised rows is left as reals

  // Row 0 may lie outside the tensor.
  Ptr row(Index key) const { return at(rows, key, element_bytes()); }
  Ptr to_come(Index key) const { return e.anywhere(ahead, e.mul(key, row_bytes())); }
  llvm::Value* load(Ptr row, Index element, VectorPart part) const {
    return load_first(e, at_element(e, row, element, dtype), dtype, part);
  }
  // How many elements cells() takes at best.
  int at_once() const { return support::is_quantised(dtype) ? widened_at_once(e, dtype) : operands_of(e).width; }
  // The elements dim + offset .. of row `key`, whose dim `dim` lies at `at_dim`: a vector for each width of the operands.
  CellVectors cells(Ptr at_dim, Index key, Index dim, std::int64_t offset, VectorPart part) const;

  std::int64_t element_bytes() const { return static_cast<std::int64_t>(size_of(dtype)); }
  Index row_bytes() const { return e.mul(rows.stride, e.index(element_bytes())); }
  // Whether the rows follow each other without gaps. Their lines are then prefetched in the order of addresses, whatever the
  // order of the loads: lines of several rows in turn come half as fast.
  Bool dense() const { return e.equal(rows.stride, e.index(dims)); }

 private:
  Ptr at(const Rows& place, Index key, std::int64_t bytes) const {
    return e.anywhere(place.data, e.mul(key, e.mul(place.stride, e.index(bytes))));
  }
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
  const ScratchInts numbers{e, item.scratch, at.keys};  // by column of a step: the key whose rows it is computed from
  const bool is_quantised = support::is_quantised(key.types.kv);
  const bool has_row_scales = is_quantised && key.types.scale_dims == 0;  // else those of groups of dims are part of the reals
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
  kMemory,          // and prefetches
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

// row_scales.cpp: where a row has one scale, k_scales[i] and v_scales[i] of the keys numbers[i].
void emit_row_scales(Emitter& e, RowBlock& b, const KeyStep& step);

// key_products.cpp: S = Q K^T of one step, 4 keys x up to micro_rows rows at a time.
inline constexpr int kKeys = 4;
// Neighbouring keys of a step: their rows of K in memory, and the column of the first.
struct Keys {
  Index number[kKeys];
  Ptr row[kKeys];
  Index column;
};
// for (i = 0; i < kv_tile; ++i) numbers[i] = clamp(kv + i, first, last - 1);
void emit_key_numbers(Emitter& e, RowBlock& b, const KeyStep& step);
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
