// Few query rows against long keys, for one KernelKey: the function `decode` of kernel_abi.h. K and V are read once, as they
// lie, for all query heads that share them; reading them is what the time goes to. The nest, outermost first:
//
//   for span in spans:                          skip what the block mask proved empty
//     for key step of kv_tile columns:
//       for 4 keys, for up to micro_rows rows:  S = Q K^T in registers, lanes along head_dim; prefetch of K
//       for row:                                score_mod and mask_mod, running maximum, weights
//       for up to micro_rows rows:              O += P V in registers, lanes along value dims; prefetch of V
//
// and once more, carefully (decode_careful.cpp), for rows whose output is not finite.
//
// Each method appends the code of one level; the C pseudo-code of what it emits stands above it.
#pragma once

#include <optional>

#include "codegen/emit/cells.h"
#include "codegen/emit/emitter.h"
#include "codegen/program/expression.h"
#include "plan/decode.h"

namespace flexjit::codegen {

class DecodeEmitter {
 public:
  DecodeEmitter(Emitter& e, const plan::KernelKey& key);
  void emit();

 private:
  // Loaded once at entry.
  struct Item {
    LaunchFields launch;
    ItemIndices indices;  // h is empty: it varies by row
    Index b, kv_head, row_begin, rows;
    Int group;
    Rows k, v;  // of (b, kv_head)
    Ptr o, max, sum, scale, fault;
  };
  // The key columns [kv, kv + kv_tile), of which the span holds [first, last).
  struct Step {
    Index kv, first, last;
    Bool masked;  // the mask decides; else every key inside is allowed
  };
  // Four neighbouring keys of a step: their rows of K, and the column of the first.
  struct Keys {
    Ptr row[4];
    Index column;
  };
  // A chunk of value dims: `vectors` of V, the last one cut at v_head_dim if `tail` elements of it are left.
  struct ValueChunk {
    Index dim;
    int vectors;
    int tail;  // 0: the last vector is whole
  };

  void load_item(Ptr arg);  // decode.cpp
  void emit_spans(Ptr arg);
  void emit_key_step(const Step& step);
  // body(row, count) for chunks of micro_rows rows, then of half as many down to 1.
  void for_row_chunks(llvm::StringRef name, llvm::function_ref<void(Index, int)> body);
  // Into the second-level cache: what streams through the first one would push out what is in use.
  void emit_prefetch(Ptr address) { e_.prefetch(address, CacheLevel::kSecond); }
  // The first `count` (all: lanes) elements of a vector of `width`; the others are 0 and not read.
  llvm::Value* load_first(Ptr address, DType dtype, int width, int count);
  std::int64_t rows_ahead(std::int64_t row_bytes) const;

  void emit_query_rows();  // decode_rows.cpp
  void emit_query_row(Index r, Ptr target);
  void emit_initial_state();
  void emit_row_values();
  void emit_column_values(Index kv);
  Bool emit_state();
  void emit_state_of_row(Index row);
  void emit_zero_output(Index row);
  Index head_of(Index row);
  Index query_of(Index row);
  Scope row_scope(Index row);
  void load_column_values(Scope& scope, Index offset);

  void emit_scores(const Step& step);  // decode_scores.cpp
  void emit_score_rows(const Keys& keys, Index row, int rows);
  Values emit_products(const Keys& keys, Index row, int rows);
  Values emit_vector_products(const Keys& keys, Ptr queries, Index dim, int count, const Values& acc);
  llvm::Value* reduce_four(llvm::ArrayRef<llvm::Value*> vectors);

  void emit_weights(const Step& step);  // decode_weights.cpp
  Float emit_modified_scores(const Step& step, const Scope& of_row, Index row, Index offset);
  Bool emit_mask(const Step& step, Scope& scope, Bool inside);
  void emit_fault_checks(const Scope& scope, const std::vector<bool>& wanted, Bool counts);
  void emit_row_max(Index row, llvm::ArrayRef<Float> scores);
  void emit_rescale(Index row, Float old_max, Float new_max);
  Float exponent_of(Float score, Float base);
  Float weight_of(Float exponent);
  Float shift_of(Index row);
  void emit_row_weights(Index row, llvm::ArrayRef<Float> scores);
  void emit_weights_of_row(Index row, std::int64_t offset, Float weights);

  void emit_values(const Step& step);  // decode_values.cpp
  void emit_value_rows(const Step& step, Index row, int rows);
  void emit_value_chunk(const Step& step, Index row, int rows, const ValueChunk& chunk);
  void emit_value_pairs(const Step& step, Index row, int rows, const ValueChunk& chunk);  // decode_value_pairs.cpp
  Values emit_pair_products(const Values& acc, Ptr weights, llvm::ArrayRef<llvm::Value*> pairs);
  void emit_dims_in_order(Index row);

  void emit_careful_weights(Index row, llvm::ArrayRef<Float> scores);  // decode_careful.cpp
  void emit_careful_values(const Step& step);
  void emit_careful_chunk(const Step& step, Index row, const ValueChunk& chunk);

  Ptr scratch_at(std::int64_t section, Index row, std::int64_t row_elements, Index column);
  Ptr score_at(Index row, Index column) { return scratch_at(scratch_.s, row, key_.tiling.kv_tile, column); }
  // Where values of `width` entries each lie from `slot` on.
  Ptr row_value_at(std::int32_t slot, Index row, std::int32_t width) {
    return scratch_at(scratch_.row_values, e_.index(slot), key_.tiling.q_tile, e_.mul(row, e_.index(width)));
  }
  Ptr column_value_at(std::int32_t slot, Index offset, std::int32_t width) {
    return scratch_at(scratch_.column_values, e_.index(slot), key_.tiling.kv_tile, e_.mul(offset, e_.index(width)));
  }
  std::int32_t width_of(std::uint32_t node) const { return plan::width_of(key_.program, ir::Id{node}); }
  Ptr key_number_at(Index column) { return e_.at(e_.at_byte(scratch_base_, scratch_.keys), column); }
  Ptr unsettled_at(Index row) { return e_.at(e_.at_byte(scratch_base_, scratch_.unsettled), row); }
  Ptr output_at(Index row, Index dim) { return e_.at(item_.o, e_.add(e_.mul(row, e_.index(layout_.v_padded)), dim)); }

  Emitter& e_;
  const plan::KernelKey& key_;
  const plan::KernelLayout layout_;
  const plan::DecodeScratch scratch_;
  const plan::Hoisting hoisting_;
  const bool pairs_;  // products of bf16 pairs
  Item item_;
  SplitScale scale_;  // of products of bf16 pairs
  Bool careful_;      // the second pass
  Ptr scratch_base_;
  std::optional<ExpressionEmitter> expressions_;
  Scope uniform_;
};

}  // namespace flexjit::codegen
