// One fused, tiled attention loop nest for one KernelKey: the function `attend` of kernel_abi.h. The nest, outermost first:
//
//   for span in spans:                         skip what the block mask proved empty
//     for key tile of kv_tile columns:
//       for group of micro_rows rows:          which panels of the tile have an allowed pair, which have only such
//       for strip of micro_vectors panels, for group:   S = Q K^T in registers, score_mod and mask_mod in its epilogue, running
//       max for group: P = exp(S - max), sums, rescale factors for chunk of value dims, for group:    O = rescale * O + P V in
//       registers
//
// and once more, carefully (careful_values.cpp), for rows whose output is not finite.
//
// Each method appends the code of one level; the C pseudo-code of what it emits stands above it.
#pragma once

#include <optional>

#include "codegen/emit/cells.h"
#include "codegen/emit/emitter.h"
#include "codegen/program/expression.h"
#include "codegen/program/range.h"
#include "plan/hoisting.h"
#include "plan/kernel_key.h"
#include "plan/scratch.h"

namespace flexjit::codegen {

class ForwardEmitter {
 public:
  ForwardEmitter(Emitter& e, const plan::KernelKey& key);
  void emit();

 private:
  // Loaded once at entry.
  struct Item {
    ItemIndices indices;
    LaunchFields launch;
    Rows q, out;
    Index b, h, q_begin, q_count, rows;  // rows: q_count rounded up to micro_rows
    Ptr tile, k_panels, v_rows, fault;
    Index v_stride;
  };
  // Scores in scratch are in units in which exp(score) is 2^(exponent * score). Sums of bf16 pairs that no mod sees are scaled
  // by a power of two alone.
  struct Units {
    Float query{};  // what queries are multiplied with
    Float exponent{};
    Float natural{};  // one unit in natural units; empty: 1
    Float product{};  // what q k is multiplied with before score_mod; empty: 1
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
  struct Place {
    Index row, column;
  };
  // One row of a micro-tile, from `column` on, and the running maxima of the row.
  struct ScoreRow {
    Index row, column;
    Ptr scores, maxima;
  };
  using Accumulators = llvm::SmallVector<Float, 32>;  // micro_rows x vectors, row-major

  void load_item();  // forward.cpp
  void emit_spans();
  void emit_key_tile(KeyTile tile);

  void emit_query_rows();  // forward_state.cpp
  void emit_prefetches(Ptr query, Index row);
  void emit_units();
  void emit_initial_state();
  void emit_row_values();
  Bool emit_column_values(const KeyTile& tile);
  Bool emit_diagonal_values(const KeyTile& tile);
  Bool store_values(const Scope& scope, plan::Level level, Index at);
  void emit_row_ranges();
  void store_column_ranges(const Scope& scope, Index panel);

  Bool emit_output();  // forward_output.cpp
  void emit_results();
  Float emit_sink();
  void emit_row_totals(Index first_row, Float sink);
  void emit_output_row(Index row);
  void emit_row_results(std::size_t offset, std::int64_t section, Float unit);
  void emit_zero_output(Index row);

  void emit_visits(const KeyTile& tile);  // visits.cpp
  void emit_masked_visit(const KeyTile& tile, Index group);
  void store_visit(Index group, Index visited, Index whole);
  void emit_holes(Index group, Index visited);
  Choice panel_mask(const KeyTile& tile, Index group, Index panel);
  void narrow_visit(Index group, Index column, Index allowed);
  Ptr visit_at(Index group, std::size_t field);  // field: an offset in plan::Visit
  Index visit_field(Index group, std::size_t field);

  void emit_score_tile(const KeyTile& tile, const MicroTile& micro);  // score_tile.cpp
  Accumulators emit_query_key_product(const KeyTile& tile, const MicroTile& micro, Index column, int vectors);
  void store_scores(const MicroTile& micro, Index column, const Accumulators& scores);
  void emit_narrow_products(const KeyTile& tile, const MicroTile& micro);

  void emit_whole_epilogue(const KeyTile& tile, const MicroTile& micro, const Accumulators& scores);  // score_epilogue.cpp
  void emit_whole_panels(const ScoreRow& at);
  void emit_whole_row(const ScoreRow& at, llvm::ArrayRef<Float> scores);
  void emit_masked_epilogue(const KeyTile& tile, const MicroTile& micro);
  Bool emit_masked_scores(const KeyTile& tile, const Scope& of_columns, Index row, Index column);
  Float modified_score(Scope& scope, Float product);
  Scope inner_scope() const;
  Bool emit_mask(const KeyTile& tile, Scope& scope, const Place& at, Bool inside);
  // Of the wanted nodes, where `counts`: elsewhere the mask that reads does not decide.
  struct Faults {
    const std::vector<bool>& wanted;
    Bool counts;
  };
  void emit_fault_checks(const Scope& scope, Index row, const Faults& faults);
  void emit_outer_fault_checks(const KeyTile& tile, const Scope& scope, const Place& at, const Faults& faults);
  void emit_running_max(Ptr maxima, Float scores);

  void emit_softmax();  // softmax.cpp
  void emit_row_maxima(Index first_row);
  void emit_weights_of_row(Index row, Index begin, Index end);
  Float exponent_of(Float score, Float base);
  Float weight_of(Float exponent);
  Float weight_of_score(Float score, Float base);
  Float shift_of(Float max);

  void emit_value_product(const KeyTile& tile);  // value_tile.cpp
  void for_value_chunks(llvm::StringRef name, llvm::function_ref<void(Index dim, int vectors)> body);
  void emit_value_tile(const KeyTile& tile, Index dim, int vectors);
  void emit_value_rows(const KeyTile& tile, Index group, Index dim, int vectors);

  void emit_careful_values(const KeyTile& tile);  // careful_values.cpp
  void emit_careful_weights(Index group, Index row);
  void emit_careful_product(const KeyTile& tile, Index group, Index row);
  Float load_values_of_key(Index key, Index dim);
  void emit_settled_row(Index row);

  Ptr real_at(std::int64_t section, Index row, std::int64_t row_reals, Index column);
  Ptr unsettled_at(Index row) { return e_.at(e_.at_byte(scratch_base_, scratch_.unsettled), row); }
  Bool is_unsettled(Index row) {
    return e_.compare(llvm::CmpInst::ICMP_NE, e_.load_int(unsettled_at(row)), e_.constant_int(0));
  }
  Ptr score_at(Index row, Index column) { return real_at(scratch_.s, row, scratch_.s_stride, column); }
  Ptr entry_at(std::int64_t section, std::int32_t slot, std::int64_t slot_entries, Index entry);
  // Where values of `width` entries each lie from `slot` on.
  Ptr value_at(plan::Level level, std::int32_t slot, Index at, std::int32_t width);
  llvm::Type* shape_of(plan::Level level);
  void load_values(Scope& scope, plan::Level level, Index at);
  void load_flags(Scope& scope, plan::Level level, Index at);
  Index diagonal_of(Index row, Index column) { return e_.add(e_.sub(column, row), e_.index(key_.tiling.q_tile - 1)); }
  int vector_bytes() const { return static_cast<int>(e_.lanes() * e_.real_bytes()); }
  int groups() const { return key_.tiling.q_tile / key_.tiling.micro_rows; }
  bool is_softmax() const { return key_.weights == plan::Weights::kSoftmax; }
  void for_each_group(llvm::StringRef name, llvm::function_ref<void(Index group, Index row)> body);

  Emitter& e_;
  const plan::KernelKey& key_;
  const plan::KernelLayout layout_;
  const plan::ScratchLayout scratch_;
  const plan::Hoisting hoisting_;
  Item item_;
  Units units_;
  Ptr scratch_base_;
  std::optional<ExpressionEmitter> expressions_;
  Scope uniform_;
  Bool careful_;     // the second pass
  Bool reads_fine_;  // every uniform and row read is in range, every contiguous one has a unit stride
};

}  // namespace flexjit::codegen
