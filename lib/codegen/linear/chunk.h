// A chunk of keys and of the queries of the heads that share them, what is kept of both in the scratch, and what the nest of
// linear weights does with them. Features of keys lie feature by feature, lanes along keys: as they are multiplied with those
// of queries, and, one by one, with values. Features of queries lie row by row.
#pragma once

#include <initializer_list>
#include <utility>

#include "codegen/emit/launch_fields.h"
#include "codegen/parts/panels.h"
#include "codegen/parts/product.h"
#include "codegen/parts/real_rows.h"
#include "codegen/program/expression.h"
#include "plan/sizes/linear.h"

namespace flexjit::codegen {

// Of plan::LinearArg.
struct LinearItem {
  ItemIndices indices;
  LaunchFields launch;
  Index heads, q_count, kv_begin, kv_count;
  Rows q, out, k, v;  // of the first head
  Index q_head, out_head;
  Ptr w_rows, w_panels, state, scratch, fault;
  Float eps;
  Index as_f32;
};
LinearItem load_linear_item(Emitter& e, Ptr arg);

// Everything of an item, loaded as it is made.
struct LinearChunk {
  LinearChunk(Emitter& emitter, const plan::KernelKey& of, const LinearItem& loaded)
      : e(emitter), key(of), item(loaded), uniform(expressions.uniform_scope(item.indices)) {}

  Emitter& e;
  const plan::KernelKey& key;
  const LinearItem item;
  const ir::Program& program = key.program;
  const plan::KernelLayout layout = plan::layout_of(key);
  const plan::LinearScratch at = plan::linear_scratch_of(key);
  const plan::Hoisting hoisting = plan::hoist(program, key.nest);
  ExpressionEmitter expressions{e, program, hoisting, item.launch};
  const Scope uniform;
  const int features = key.linear.features, chunk = key.tiling.q_tile;
  const bool has_gates = program.gate().valid();
  const Bool has_keys = e.less(e.index(0), item.kv_count);
  const Index columns = e.round_up(item.kv_count, layout.lanes);  // of keys

  // Of the scratch; of the state.
  const RealRows k_features = rows(at.k_features, at.k_stride), kept = rows(at.kept, 1), squares = rows(at.squares, 1);
  const RealRows v = rows(at.v, layout.v_padded), faded_v = rows(at.faded_v, layout.v_padded);
  const RealRows q = rows(at.q, at.q_row_stride), q_features = rows(at.q_features, at.q_stride);
  const RealRows pulled = rows(at.pulled, at.q_stride);
  const RealRows q_squares = rows(at.q_squares, 1), weights = rows(at.weights, at.k_stride);
  const RealRows gates = rows(at.gates, 1), since = rows(at.since, at.k_stride), since_begin = rows(at.since_begin, 1);
  const RealRows normalisers = rows(at.normalisers, 1), sums = rows(at.sums, layout.lanes);
  const RealRows state{e, item.state, {}, layout.v_padded};
  const RealRows feature_sums{e, item.state, layout.f_padded * layout.v_padded * e.real_bytes(), 1};

  // The caller's, of one of the heads.
  Rows query_rows(Index head) const { return of_head(item.q, item.q_head, key.types.q, head); }
  Rows output_rows(Index head) const { return of_head(item.out, item.out_head, key.types.out, head); }
  // Rows of a micro-tile of so many vectors; a power of two that divides a chunk.
  int tile_rows(int vectors) const;
  ChunkSizes value_chunks() const;
  // The lanes of keys from `column` on that are there, and their positions.
  Bool lanes_there(Index column) const;
  Int positions(Index column) const;

  // What a root is where leaves have these values, in lanes that are active; empty: all. Reads that are out of range there are
  // reported.
  using Leaves = std::initializer_list<std::pair<ir::Op, llvm::Value*>>;
  llvm::Value* evaluate(ir::Id root, Leaves leaves, Bool active);
  // A vector of features of these elements of rows, `number` being a scalar or a vector.
  Float feature(Float elements, Float sum_of_squares, Int number);
  bool uses(ir::Op op) const;

 private:
  Rows of_head(const Rows& rows, Index between, DType dtype, Index head) const {
    const Index bytes = e.mul(e.mul(head, between), e.index(static_cast<std::int64_t>(size_of(dtype))));
    return {e.anywhere(rows.data, bytes), rows.stride};
  }
  RealRows rows(std::int64_t section, std::int64_t stride) const { return {e, item.scratch, section, stride}; }
};

// for (r = 0; r + most <= rows; r += most) body(r, most); then what is left of the rows
void for_row_groups(Emitter& e, const char* name, int rows, int most, llvm::function_ref<void(Index, int)> body);

// features.cpp: which keys are kept, their features and values; the features of a head's queries.
void emit_keys(Emitter& e, LinearChunk& c);
// A row of the caller's into a row of q; then features of the first rows of q.
void take_row(Emitter& e, LinearChunk& c, Ptr source, DType dtype, Index row);
// store(row, f, elements f .. of that row, or of its product with the matrix)
using StoreFeatures = llvm::function_ref<void(Index row, Index f, Float elements)>;
void emit_row_features(Emitter& e, LinearChunk& c, Index rows, StoreFeatures store);
// The features of these elements, zeros past the features; and into q_features.
Float row_features(Emitter& e, LinearChunk& c, Index row, Index f, Float elements);
void store_row_features(Emitter& e, LinearChunk& c, Index row, Index f, Float elements);
// Which keys are there and not masked.
void emit_kept(Emitter& e, LinearChunk& c);
void emit_queries(Emitter& e, LinearChunk& c, Index head);

// gates.cpp: gates of keys, and what is left of a weight after some of them.
void emit_gates(Emitter& e, LinearChunk& c);

// products.cpp: weights of the pairs of the chunk; outputs of a head, to the caller; the state takes the keys.
void emit_chunk_weights(Emitter& e, LinearChunk& c);
void emit_outputs(Emitter& e, LinearChunk& c, Index head);
// A vector of dims, of which `count` exist, as elements.
struct GivenVector {
  Float reals;
  DType dtype;
  int count;
};
// Into a row of the caller's, from d on.
void give_vector(Emitter& e, LinearChunk& c, const GivenVector& vector, Ptr to, Index d);
void emit_state(Emitter& e, LinearChunk& c);

// token.cpp: all of that for one key and one query of each head.
void emit_token(Emitter& e, LinearChunk& c);

}  // namespace flexjit::codegen
