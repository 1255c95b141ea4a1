// A tile of query rows and a tile of keys, and what the backward nest does with them: weights P and the gradients of scores dS
// of their pairs, in the scratch, then what these add to the gradients of keys, values and queries. Five products, two of
// packed panels (lanes along keys) and three of rows as they lie (lanes along dims), by one micro-kernel.
#pragma once

#include "codegen/backward/accumulate.h"
#include "codegen/parts/pair_tile.h"
#include "codegen/parts/real_rows.h"
#include "codegen/parts/scores.h"
#include "codegen/parts/weights.h"
#include "plan/sizes/backward.h"

namespace flexjit::codegen {

// Of plan::GradientsArg.
struct GradientItem : TileItem {
  Ptr q_rows, grad_out_rows, lse, delta;
  Ptr k_panels, v_panels, k_rows;
  Ptr grad_q, grad_k, grad_v, sums;
  Bool careful;
};
GradientItem load_gradient_item(Emitter& e, const plan::KernelKey& key, Ptr arg);

// Everything of an item, loaded as it is made.
struct GradientTile : PairTile {
  GradientTile(Emitter& emitter, const plan::KernelKey& of, const GradientItem& loaded);

  const GradientItem operands;
  const plan::BackwardScratch at = plan::backward_scratch_of(key);
  const Scores scores{e, tables, item.fault, item.q_count};
  const Weights kind;
  Accumulations accumulations{*this, operands.sums, at.sums};
  // Of the scratch: scores, then weights; gradients of weights, then of scores; by row of the tile.
  const RealRows weights{e, item.scratch, at.weights, at.s_stride}, gradients{e, item.scratch, at.gradients, at.s_stride};
  // Of the sequence, by position.
  const RealRows q{e, operands.q_rows, {}, layout.k_padded}, grad_out{e, operands.grad_out_rows, {}, layout.v_padded};
  const RealRows lse{e, operands.lse, {}, 1}, delta{e, operands.delta, {}, 1};
  const RealRows k{e, operands.k_rows, {}, layout.k_padded};
  const RealRows grad_q{e, operands.grad_q, {}, layout.k_padded}, grad_k{e, operands.grad_k, {}, layout.k_padded};
  const RealRows grad_v{e, operands.grad_v, {}, layout.v_padded};

  Index position(Index row) const { return e.add(item.q_begin, row); }
};

// gradient_scores.cpp
// Of pairs that no one visits: no weight, no gradient.
void store_no_gradient(Emitter& e, GradientTile& t, Index row, Index column);
void emit_pair_gradients(Emitter& e, GradientTile& t, const KeyTile& keys, const MicroTile& micro);

// gradient_products.cpp
// Which rows of the tile visit each panel.
void emit_row_reaches(Emitter& e, GradientTile& t, const KeyTile& keys);
// dV += P^T dO, dK += dS^T Q
void emit_key_gradients(Emitter& e, GradientTile& t, const KeyTile& keys);
// dQ += dS K
void emit_query_gradients(Emitter& e, GradientTile& t, const KeyTile& keys);

// gradient_rows.cpp: the functions `take_rows`, `take_keys`, `give_q`, `give_k` and `give_v` of kernel_abi.h.
void emit_gradient_rows(Emitter& e, const plan::KernelKey& key);

}  // namespace flexjit::codegen
