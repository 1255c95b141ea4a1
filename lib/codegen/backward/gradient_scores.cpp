// S = Q K^T and dP = dO V^T of one micro-tile, then pair by pair: the weight P = e^(score_mod(S) - lse) that the forward pass
// had, the gradient of the modified score P (f dP - delta), and from it that of the score, beside f P, whose factor f the
// forward pass gave the weight. Where a pair is not allowed both are
// 0, selected, whatever lies there.
#include <cstddef>
#include <numbers>

#include "codegen/backward/gradient_tile.h"
#include "codegen/parts/product.h"

namespace flexjit::codegen {
namespace {

using plan::Level;

// One product of a micro-tile -> where it is kept.
struct StoredProduct {
  PanelProduct product;
  const RealRows& target;
};

// The two products, `vectors` panels of them.
std::array<StoredProduct, 2> products_of(GradientTile& t, const MicroTile& micro, int vectors) {
  const Index row = t.position(micro.row);
  const PanelProduct scores{.name = vectors == 1 ? "qk_narrow" : "qk",
                            .rows = t.q.at(row),
                            .panels = t.operands.k_panels,
                            .depth = t.key.head_dim,
                            .row_cells = t.layout.k_padded,
                            .vectors = vectors};
  const PanelProduct gradients{.name = vectors == 1 ? "gv_narrow" : "gv",
                               .rows = t.grad_out.at(row),
                               .panels = t.operands.v_panels,
                               .depth = t.key.v_head_dim,
                               .row_cells = t.layout.v_padded,
                               .vectors = vectors};
  return {StoredProduct{scores, t.weights}, StoredProduct{gradients, t.gradients}};
}

void emit_products(Emitter& e, GradientTile& t, const KeyTile& keys, const MicroTile& micro, int vectors) {
  for (const StoredProduct& stored : products_of(t, micro, vectors)) {
    const Values products = emit_panel_product(e, t, keys, micro, stored.product);
    const Ptr target = e.opaque(stored.target.at(micro.row, micro.column));
    VectorTile{e, target, stored.target.stride, t.key.tiling.micro_rows, vectors}.store(products);
  }
}

// What the pairs of one row have in common.
struct GradientRowValues {
  Float lse, delta;
};
GradientRowValues row_values(GradientTile& t, Index row) {
  const Index position = t.position(row);
  return {t.lse.load(position), t.delta.load(position)};
}

struct PairGradient {
  Float weight, gradient;
};
// Of modified scores and gradients of weights.
PairGradient softmax_gradient(Emitter& e, GradientTile& t, const GradientRowValues& row, Float score, Float of_weight) {
  switch (t.key.weights) {
    case plan::Weights::kSoftmax: {
      const Float weight = t.kind.weight_of_score(e.sub(score, row.lse));
      return {weight, e.mul(weight, e.sub(of_weight, row.delta))};
    }
    case plan::Weights::kSigmoid: {
      const Float weight = t.kind.weight_of_score(score);
      return {weight, e.mul(e.mul(weight, e.sub(e.real(1.0), weight)), of_weight)};
    }
    case plan::Weights::kLinear: break;
  }
  return {};
}

// Of one vector of pairs. allowed: empty: all.
struct PairVector {
  Index row, column;
  Bool allowed{};
};

// score -> {f P, dS}, stored. What is dropped has no part in dP, whatever lies there.
void emit_gradients(Emitter& e, GradientTile& t, const GradientRowValues& row, Scope& scope, const PairVector& at,
                    Float score) {
  const Ptr to = t.gradients.at(at.row, at.column);
  const Float zero = e.real(0.0), factor = t.scores.weight_factor(scope);
  Float of_weight = e.load_reals(to, vector_bytes(e));
  if (factor) of_weight = e.select(e.compare(FloatOrder::kEq, factor, zero), zero, e.mul(factor, of_weight));
  PairGradient pair = softmax_gradient(e, t, row, score, of_weight);
  if (factor) pair.weight = e.mul(factor, pair.weight);
  pair.gradient = t.scores.pulled_back(scope, pair.gradient);
  t.accumulations.emit_add(scope, at.row, at.column, at.allowed);
  if (at.allowed) {
    pair = {e.select(at.allowed, pair.weight, zero), e.select(at.allowed, pair.gradient, zero)};
  }
  e.store(pair.weight.value, t.weights.at(at.row, at.column), vector_bytes(e));
  e.store(pair.gradient.value, to, vector_bytes(e));
}

// The rows of a micro-tile that exist end here: nobody looks at what the others hold.
Index end_of_rows(Emitter& e, GradientTile& t, const MicroTile& micro) {
  return e.min(e.add(micro.row, e.index(t.key.tiling.micro_rows)), t.item.q_count);
}

// for (r = row; r < end of rows; ++r) for each vector: score_mod, {P, dS}
void emit_whole_rows(Emitter& e, GradientTile& t, const MicroTile& micro) {
  const SourceScope part = e.part(plan::Part::kScores);
  const Index end = end_of_rows(e, t, micro);
  e.for_range("whole.row", micro.row, end, e.index(1), [&](Index row) {
    const GradientRowValues of_row = row_values(t, row);
    Scope row_scope = t.tables.without_flags();
    row_scope.whole = true;
    t.tables.load(row_scope, Level::kRow, row, Stored::kValues);
    row_scope.outside = e.ir().GetInsertBlock();
    ScopesOfPairs pairs;
    for (int j = 0; j < t.key.tiling.micro_vectors; ++j) {
      const Index column = e.add(micro.column, e.index(std::int64_t{j} * e.lanes()));
      Scope scope = row_scope;
      pairs.open(scope, j, t.key.tiling.micro_vectors);
      t.tables.load(scope, Level::kColumn, column, Stored::kValues);
      t.tables.load(scope, Level::kDiagonal, t.tables.diagonal_of(row, column), Stored::kValues);
      const Float score = t.scores.modified(scope, e.load_reals(t.weights.at(row, column), vector_bytes(e)));
      if (t.tables.hoisting.checks_elements)
        t.scores.check(scope, {.row = row}, t.tables.hoisting.in_score, e.constant_bool(true));
      emit_gradients(e, t, of_row, scope, {row, column}, score);
    }
  });
}

// One vector of pairs that the bounds or the mask may forbid. Returns those that are allowed.
Bool emit_masked_vector(Emitter& e, GradientTile& t, const KeyTile& keys, const PairVector& at, Scope scope) {
  t.tables.load(scope, Level::kRow, at.row, Stored::kValues);
  t.tables.load(scope, Level::kDiagonal, t.tables.diagonal_of(at.row, at.column), Stored::kValues);
  const Place place{at.row, at.column, columns_inside(e, keys, at.column), keys.masked, keys.fine};
  const Float product = e.load_reals(t.weights.at(at.row, at.column), vector_bytes(e));
  const auto [score, allowed] = t.scores.masked(scope, product, place);
  emit_gradients(e, t, row_values(t, at.row), scope, {at.row, at.column, allowed}, score);
  return allowed;
}

// for each visited panel: for (r = row; r < end of rows; ++r) masked_vector(r, panel); narrow_visit
void emit_masked_panels(Emitter& e, GradientTile& t, const KeyTile& keys, const MicroTile& micro) {
  const SourceScope part = e.part(plan::Part::kMaskedScores);
  for_visited_panels(e, t, micro, {"epilogue.panel", "epilogue.visited"}, [&](const MicroTile& panel) {
    Scope of_columns = t.tables.without_flags();
    t.tables.load(of_columns, Level::kColumn, panel.column, Stored::kValues);
    const Index end = end_of_rows(e, t, panel);
    const Values allowed =
        e.for_range("epilogue.row", panel.row, end, e.index(1), {e.index(0).value}, [&](Index row, const Values& so_far) {
          const Bool in_row = emit_masked_vector(e, t, keys, {row, panel.column}, of_columns);
          return Values{e.bit_or(Index{so_far[0]}, e.lane_bits(in_row)).value};
        });
    narrow_visit(e, t, panel.group, panel.column, Index{allowed[0]});
  });
}

}  // namespace

GradientTile::GradientTile(Emitter& emitter, const plan::KernelKey& of, const GradientItem& loaded)
    : PairTile(emitter, of, loaded, plan::backward_scratch_of(of)),
      operands(loaded),
      kind{e, key.weights, e.real(std::numbers::log2e)} {}

void store_no_gradient(Emitter& e, GradientTile& t, Index row, Index column) {
  llvm::Value* zero = e.broadcast(e.real(0.0)).value;
  e.store(zero, t.weights.at(row, column), vector_bytes(e));
  e.store(zero, t.gradients.at(row, column), vector_bytes(e));
}

// wide ? products of the strip : products of each visited panel; whole ? whole_rows : masked_panels
void emit_pair_gradients(Emitter& e, GradientTile& t, const KeyTile& keys, const MicroTile& micro) {
  const int vectors = t.key.tiling.micro_vectors;
  const Bool wide = is_wide(e, t, micro);
  const Bool is_whole = e.equal(micro.whole, e.index((std::int64_t{1} << vectors) - 1));
  {
    const SourceScope part = e.part(plan::Part::kQueryKey);
    e.if_else(
        "wide", wide, [&] { emit_products(e, t, keys, micro, vectors); },
        [&] {
          for_visited_panels(e, t, micro, {"narrow", "narrow.visited"},
                             [&](const MicroTile& panel) { emit_products(e, t, keys, panel, 1); });
        });
  }
  e.if_else(
      "whole", is_whole, [&] { emit_whole_rows(e, t, micro); },
      [&] {
        // A wide product has left scores in every panel; those that are not visited become 0 like any pair that is masked.
        MicroTile stored = micro;
        stored.visited = e.select(wide, micro.panels, micro.visited);
        emit_masked_panels(e, t, keys, stored);
      });
}

}  // namespace flexjit::codegen
