// What P and dS of a tile add to the gradients: dV += P^T dO and dK += dS^T Q, whose rows are keys and which sum over the rows
// that visit them, and dQ += dS K, which sums over the keys that a group of rows visits. Lanes run along dims; dims are the
// outer loop, so that a column panel of what is multiplied stays in the first-level cache.
#include <bit>
#include <cstddef>

#include "codegen/backward/gradient_tile.h"
#include "codegen/parts/product.h"

namespace flexjit::codegen {
namespace {

using plan::Visit;

// Of one panel, a row of the tile.
Ptr reach_at(Emitter& e, GradientTile& t, std::int64_t section, Index panel) {
  return e.at(e.at_byte(t.item.scratch, section), e.mul(panel, e.index(2)));
}

// for (i = 0; i + most <= count; i += most) body(i, most); then what is left in powers of two, the largest first
void for_exact_rows(Emitter& e, const char* name, Index count, int most, llvm::function_ref<void(Index, int)> body) {
  const Index left{e.ir().CreateURem(count.value, e.index(most).value)};
  const Index whole = e.sub(count, left);
  e.for_range(name, e.index(0), whole, e.index(most), [&](Index row) { body(row, most); });
  for (int rows = static_cast<int>(std::bit_floor(static_cast<unsigned>(most - 1))); rows > 0; rows /= 2) {
    const Index bit = e.bit_and(left, e.index(rows));
    e.if_then(name, Bool{e.ir().CreateIsNotNull(bit.value)},
              [&] { body(e.add(whole, e.bit_and(left, e.index(-2 * rows))), rows); });
  }
}

// A sum of products of pairs with rows of dims: sums[rows of the tile or keys][dims] += pairs * rows.
struct PairSum {
  const char* name;
  const RealRows &pairs, &rows, &sums;
};

void for_dims(Emitter& e, GradientTile& t, const PairSum& sum, llvm::function_ref<void(const Chunk&)> body) {
  const int vectors = static_cast<int>(sum.sums.stride) / e.lanes();
  const ChunkSizes sizes{static_cast<int>(sum.sums.stride), e.lanes(), equal_width(vectors, t.key.tiling.micro_vectors)};
  for_chunks(e, sum.name, sizes, body);
}

// The rows of dims that a product goes over.
CellVectors load_dims(Emitter& e, Ptr row, int vectors) {
  CellVectors loaded;
  for (int j = 0; j < vectors; ++j) {
    loaded.push_back(load_cells(e, e.at_real(row, e.index(std::int64_t{j} * e.lanes())), vector_bytes(e)));
  }
  return loaded;
}

// A pair without weight adds nothing, whatever lies in the row that it would be multiplied with: one row and one vector at a
// time. for (k = begin; k < end; ++k) if (pair(k) != 0) target += pair(k) * row(k)[dim..]
struct CarefulSum {
  Ptr target;
  Index begin, end, dim;
  llvm::function_ref<Ptr(Index)> pair, row;
};
void emit_careful_sum(Emitter& e, const CarefulSum& sum) {
  const Values total = e.for_range("careful.pair", sum.begin, sum.end, e.index(1),
                                   {e.load_reals(sum.target, vector_bytes(e)).value}, [&](Index k, const Values& so_far) {
                                     const Float zero = e.broadcast(e.real(0.0)),
                                                 factor = e.broadcast(e.load_real(sum.pair(k)));
                                     const Float x = e.load_reals(e.at_real(sum.row(k), sum.dim), vector_bytes(e));
                                     const Float counted = e.select(e.compare(FloatOrder::kEq, factor, zero), zero, x);
                                     return Values{e.fma(factor, counted, Float{so_far[0]}).value};
                                   });
  e.store(total[0], sum.target, vector_bytes(e));
}

// For each key of the tile: sums[key] += sum over the rows that visit it of pairs[row][key] * rows[row]
void emit_sum_over_rows(Emitter& e, GradientTile& t, const KeyTile& keys, const PairSum& sum) {
  for_dims(e, t, sum, [&](const Chunk& chunk) {
    for_exact_rows(e, sum.name, keys.count, t.key.tiling.micro_rows, [&](Index column, int count) {
      const Index first = e.panel_of(column), last = e.panel_of(e.add(column, e.index(count - 1)));
      const auto row_at = [&](std::int64_t section, Index panel) { return e.load_index(reach_at(e, t, section, panel)); };
      const Index begin = e.min(row_at(t.at.row_begin, first), row_at(t.at.row_begin, last));
      const Index end = e.max(row_at(t.at.row_end, first), row_at(t.at.row_end, last));
      const VectorTile target{e, sum.sums.at(e.add(keys.kv, column), chunk.dim), sum.sums.stride, count, chunk.vectors};
      const Product product{.name = "pairs",
                            .begin = begin,
                            .end = end,
                            .rows = count,
                            .factors = sum.pairs.at(e.index(0), column),
                            .factor_stride = 1,
                            .step_stride = sum.pairs.stride,
                            .vectors = sum.rows.at(t.position(begin), chunk.dim)};
      const auto load = [&](Ptr row, Index) { return load_dims(e, row, chunk.vectors); };
      const auto next = [&](Ptr row) { return e.at_real(row, e.index(sum.rows.stride)); };
      target.store(emit_product(e, product, target.load(), load, next));
    });
  });
}

// For each row of the tile: sums[row] += sum over the keys that its group visits of pairs[row][key] * rows[key]
void emit_sum_over_keys(Emitter& e, GradientTile& t, const KeyTile& keys, const PairSum& sum) {
  for_dims(e, t, sum, [&](const Chunk& chunk) {
    for_exact_rows(e, sum.name, t.item.q_count, t.key.tiling.micro_rows, [&](Index row, int count) {
      const Index group{e.ir().CreateUDiv(row.value, e.index(t.key.tiling.micro_rows).value)};
      const Index begin = visit_field(e, t, group, offsetof(Visit, first));
      const Index end = e.min(visit_field(e, t, group, offsetof(Visit, after)), keys.count);
      const VectorTile target{e, sum.sums.at(t.position(row), chunk.dim), sum.sums.stride, count, chunk.vectors};
      const Product product{.name = "pairs",
                            .begin = begin,
                            .end = end,
                            .rows = count,
                            .factors = sum.pairs.at(row),
                            .factor_stride = sum.pairs.stride,
                            .vectors = sum.rows.at(e.add(keys.kv, begin), chunk.dim)};
      const auto load = [&](Ptr key, Index) { return load_dims(e, key, chunk.vectors); };
      const auto next = [&](Ptr key) { return e.at_real(key, e.index(sum.rows.stride)); };
      target.store(emit_product(e, product, target.load(), load, next));
    });
  });
}

// for (c = 0; c < rows; ++c) for (d = 0; d < dims; d += lanes) body(c, d)
void for_vectors(Emitter& e, Index rows, std::int64_t dims, llvm::function_ref<void(Index, Index)> body) {
  e.for_range("careful", e.index(0), rows, e.index(1), [&](Index row) {
    e.for_range("careful.dim", e.index(0), e.index(dims), e.index(e.lanes()), [&](Index dim) { body(row, dim); });
  });
}

void emit_careful_over_rows(Emitter& e, GradientTile& t, const KeyTile& keys, const PairSum& sum) {
  for_vectors(e, keys.count, sum.sums.stride, [&](Index column, Index dim) {
    emit_careful_sum(e, {.target = sum.sums.at(e.add(keys.kv, column), dim),
                         .begin = e.index(0),
                         .end = t.item.q_count,
                         .dim = dim,
                         .pair = [&](Index row) { return sum.pairs.at(row, column); },
                         .row = [&](Index row) { return sum.rows.at(t.position(row)); }});
  });
}

void emit_careful_over_keys(Emitter& e, GradientTile& t, const KeyTile& keys, const PairSum& sum) {
  for_vectors(e, t.item.q_count, sum.sums.stride, [&](Index row, Index dim) {
    emit_careful_sum(e, {.target = sum.sums.at(t.position(row), dim),
                         .begin = e.index(0),
                         .end = keys.count,
                         .dim = dim,
                         .pair = [&](Index column) { return sum.pairs.at(row, column); },
                         .row = [&](Index column) { return sum.rows.at(e.add(keys.kv, column)); }});
  });
}

// if (gradient is wanted) careful ? slow() : fast()
void if_wanted(Emitter& e, GradientTile& t, Ptr gradient, llvm::function_ref<void()> fast, llvm::function_ref<void()> slow) {
  e.if_then("wanted", Bool{e.ir().CreateIsNotNull(gradient.value)},
            [&] { e.if_else("careful", t.operands.careful, slow, fast); });
}

}  // namespace

// for each panel: row_begin = the first row of the first group that visits it, row_end = behind the last of the last; of none:
// row_begin = q_count, row_end = 0
void emit_row_reaches(Emitter& e, GradientTile& t, const KeyTile& keys) {
  const SourceScope part = e.part(plan::Part::kVisits);
  const Index panels = e.panel_of(e.round_up(keys.count, e.lanes()));
  e.for_range("reach", e.index(0), panels, e.index(1), [&](Index panel) {
    const Values none{t.item.q_count.value, e.index(0).value, e.index(0).value};
    const Index micro_rows = e.index(t.key.tiling.micro_rows);
    const auto widened = [&](Index row, const Values& so_far) {
      const Index group{so_far[2]};
      const Index visited = visit_field(e, t, group, offsetof(Visit, visited));
      const Bool visits = e.equal(e.bit_and(e.lshr(visited, panel), e.index(1)), e.index(1));
      const Index begin = e.min(Index{so_far[0]}, row), end = e.min(e.add(row, micro_rows), t.item.q_count);
      return Values{e.select(visits, begin, Index{so_far[0]}).value, e.select(visits, end, Index{so_far[1]}).value,
                    e.add(group, e.index(1)).value};
    };
    const Values reach = e.for_range("reach.group", e.index(0), t.item.rows, micro_rows, none, widened);
    e.store(reach[0], reach_at(e, t, t.at.row_begin, panel), 8);
    e.store(reach[1], reach_at(e, t, t.at.row_end, panel), 8);
  });
}

void emit_key_gradients(Emitter& e, GradientTile& t, const KeyTile& keys) {
  const SourceScope part = e.part(plan::Part::kKeyGradients);
  const auto add = [&](Ptr gradient, const PairSum& sum) {
    if_wanted(e, t, gradient, [&] { emit_sum_over_rows(e, t, keys, sum); }, [&] { emit_careful_over_rows(e, t, keys, sum); });
  };
  add(t.operands.grad_v, {"grad_v", t.weights, t.grad_out, t.grad_v});
  add(t.operands.grad_k, {"grad_k", t.gradients, t.q, t.grad_k});
}

void emit_query_gradients(Emitter& e, GradientTile& t, const KeyTile& keys) {
  const SourceScope part = e.part(plan::Part::kQueryGradients);
  const PairSum sum{"grad_q", t.gradients, t.k, t.grad_q};
  if_wanted(
      e, t, t.operands.grad_q, [&] { emit_sum_over_keys(e, t, keys, sum); }, [&] { emit_careful_over_keys(e, t, keys, sum); });
}

}  // namespace flexjit::codegen
