// One fused, tiled attention loop nest for one KernelKey: the function `attend` of kernel_abi.h. The nest, outermost first:
//
//   for span in spans:                         skip what the block mask proved empty
//     for key tile of kv_tile columns:
//       for strip of micro_vectors * lanes columns:
//         for micro_rows rows of the query tile:   S = Q K^T in registers, score_mod and mask_mod in its epilogue, running max
//       for row: P = exp(S - max), row sum, rescale factor
//       for chunk of value dims, for micro_rows rows: O = rescale * O + P V in registers
//
// Each method appends the code of one level; the C pseudo-code of what it emits stands above it.
#pragma once

#include <optional>

#include "codegen/emitter.h"
#include "codegen/expression.h"
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
  // The key columns [kv, kv + strip) whose scores go to columns [column, column + strip) of S.
  struct Strip {
    Index kv;
    Index column;
    Int begin, end;  // of the span: columns outside are not allowed
    Bool fast;       // no mask, no tail, no read to check: the register epilogue serves
  };
  // [begin, end) as in SpanArg.
  struct Span {
    Int begin, end;
    Bool masked;
  };
  using Accumulators = Values;  // micro_rows x micro_vectors, row-major

  void load_item();  // forward.cpp
  void emit_key_tile(const Span& span, Index kv, Index count);
  void emit_strip(Strip strip);

  void emit_query_rows();  // forward_state.cpp
  void emit_initial_state();
  void emit_row_values();
  Bool emit_column_values(Index kv);
  void emit_output();
  void emit_output_row(Index row);
  void emit_log_sum_exp(Index row, Float max, Float sum);

  void emit_score_tile(const Strip& strip, Index row);  // score_tile.cpp
  Accumulators emit_query_key_product(const Strip& strip, Index row);
  void emit_register_epilogue(const Strip& strip, Index row, const Accumulators& scores);
  void emit_masked_epilogue(const Strip& strip, Index row, const Accumulators& scores);
  void emit_masked_scores(const Strip& strip, Index row, Index offset);
  Scope row_scope(Index row);
  void load_column_values(Scope& scope, Index offset);
  Bool emit_mask(Scope& scope, Bool inside);
  void emit_fault_checks(const Scope& scope, const std::vector<bool>& wanted, const std::vector<bool>& unwanted);
  void emit_running_max(Index row, Float scores);

  void emit_softmax(Index columns);  // softmax.cpp
  void emit_softmax_row(Index row, Index columns);
  void emit_value_product(Index kv, Index count);  // value_tile.cpp
  void emit_value_tile(Index kv, Index count, Index dim, int vectors);
  void emit_value_rows(Index kv, Index count, Index dim, Index row, int vectors);

  Ptr scratch_at(std::int64_t section, Index row, std::int64_t row_elements, Index column);
  Ptr score_at(Index row, Index column) { return scratch_at(scratch_.s, row, scratch_.s_stride, column); }
  Ptr row_value_at(std::int32_t slot, Index row);
  Ptr column_value_at(std::int32_t slot, Index offset);
  // A node's value as the 4 bytes of a table entry, and back.
  llvm::Value* to_entry(llvm::Value* value);
  llvm::Value* from_entry(Ptr address, ir::Type type, llvm::Type* bool_shape);

  Emitter& e_;
  const plan::KernelKey& key_;
  const plan::KernelLayout layout_;
  const plan::ScratchLayout scratch_;
  const plan::Hoisting hoisting_;
  const bool register_epilogue_;
  Item item_;
  Ptr scratch_base_;
  std::optional<ExpressionEmitter> expressions_;
  Scope uniform_;
  Bool reads_fine_;  // every uniform and row read is in range
};

}  // namespace flexjit::codegen
