// Online softmax over one key tile: the maxima so far, how much the older output and sums must shrink, then the weights, row by
// row and only over the panels that a group of rows visits. Everything is relative to the running maximum, which is subtracted
// first: a product of a large score would be rounded by more than the exponents' range. Then O += P V, in micro-tiles of
// micro_rows rows by up to micro_vectors vectors of value dims that stay in registers over the panels that the rows visit; V is
// read row by row (or pair of rows by pair) as it lies.
#include <cstddef>

#include "codegen/emit/lane_transpose.h"
#include "codegen/prefill/query_tile.h"

namespace flexjit::codegen {
namespace {

using plan::Level;
using plan::Visit;

constexpr std::int64_t kKeysAhead = 8;  // between the prefetch of a row of V and its use

// For lanes rows at once: max = reduce(max_lanes[r]); shift = shift_of(max);
// rescale[r] = 2^(exponent * (row_max[r] - shift)); row_max[r] = max; base[r] = -shift;
void emit_row_maxima(Emitter& e, QueryTile& t, Index row) {
  const SourceScope part = e.part(plan::Part::kMaxima);
  const auto bytes = static_cast<int>(e.real_bytes());
  const Float max = reduce_rows(e, t.max_lanes.at(row), [&](Float a, Float b) { return e.max(a, b); });
  const Float shift = t.weights.shift_of(max);
  const Float old = e.load_reals(t.row_max.at(row), bytes);
  const auto store = [&](Float value, const RealRows& rows) { e.store(value.value, rows.at(row), bytes); };
  store(t.weights.factor_between(old, shift), t.rescale);
  store(max, t.row_max);
  store(e.neg(shift), t.base);
}

// A score, relative to base if weights are. Scores are added to, so that their loads fold into the addition.
Float relative(Emitter& e, Float score, Float base) { return base ? e.add(score, base) : score; }

// for (c = begin; c < end; c += lanes) factors[c..] = what the weights of the row's pairs are multiplied with
// In a loop of its own: random numbers are long chains of dependent instructions, and the processor must see several at once.
// By twos where the tile has room for one too many.
void emit_factors_of_row(Emitter& e, QueryTile& t, Index row, Index begin, Index end) {
  if (!t.key.program.weight_factor().valid()) return;
  Scope of_row = t.tables.without_flags();
  t.tables.load(of_row, Level::kRow, row, Stored::kValues);
  of_row.outside = e.ir().GetInsertBlock();
  const int vectors = t.key.tiling.kv_tile % (2 * e.lanes()) == 0 ? 2 : 1;
  const Index first = e.bit_and(begin, e.index(-vectors * e.lanes()));
  e.for_range("factors", first, end, e.index(vectors * e.lanes()), [&](Index at) {
    ScopesOfPairs pairs;
    for (int j = 0; j < vectors; ++j) {
      const Index column = e.add(at, e.index(j * e.lanes()));
      Scope scope = of_row;
      pairs.open(scope, j, vectors);
      t.tables.load(scope, Level::kColumn, column, Stored::kValues);
      t.tables.load(scope, Level::kDiagonal, t.tables.diagonal_of(row, column), Stored::kValues);
      e.store(t.scores.weight_factor(scope).value, t.factors.at(e.index(0), column), vector_bytes(e));
    }
  });
}

// Of the row that emit_factors_of_row was last for; empty: 1.
Float factors_at(QueryTile& t, Index column) {
  return t.key.program.weight_factor().valid() ? t.factors.load_vector(t.e.index(0), column) : Float{};
}

// for (c = begin; c < end; c += strip, then lanes) S[row][c..] = weight of S[row][c..], summed lane by lane, times its factor;
// sum_lanes[row] = rescale[row] * sum_lanes[row] + sums
void emit_weights_of_row(Emitter& e, QueryTile& t, Index row, Index begin, Index end) {
  const int vectors = t.key.tiling.micro_vectors;
  const std::int64_t strip = t.layout.strip;
  const Float base = is_relative(t.key.weights) ? e.broadcast(t.base.load(row)) : Float{};
  const Ptr scores = t.s.at(row);
  emit_factors_of_row(e, t, row, begin, end);
  const auto pass = [&](Index column, const Values& sums) {
    Values next;
    llvm::SmallVector<Float, 8> p;
    const Ptr first = e.at_real(scores, column);
    for (std::size_t j = 0; j < sums.size(); ++j) {
      const Index offset = e.index(static_cast<std::int64_t>(j) * e.lanes());
      const Float score = e.load_reals(e.at_real(first, offset), vector_bytes(e));
      p.push_back(t.weights.weight_of_score(relative(e, score, base)));
      next.push_back(e.add(Float{sums[j]}, p.back()).value);
      if (const Float factors = factors_at(t, e.add(column, offset))) p.back() = e.mul(p.back(), factors);
    }
    store_as_cells(e, p, e.at_byte_offset(scores, e.mul(column, e.index(e.real_bytes() / t.layout.v_group))));
    return next;
  };
  const Values zeros(static_cast<std::size_t>(vectors), e.broadcast(e.real(0.0)).value);
  const Index in_strips = e.bit_and(e.sub(end, begin), e.index(-strip));
  const Index after_strips = e.add(begin, in_strips);
  const Values sums = e.for_range("exp", begin, after_strips, e.index(strip), zeros, pass);
  Float total{sums[0]};
  for (int j = 1; j < vectors; ++j) total = e.add(total, Float{sums[static_cast<std::size_t>(j)]});
  total = Float{e.for_range("exp.panel", after_strips, end, e.index(e.lanes()), {total.value}, pass)[0]};
  const Ptr sum_at = t.sum_lanes.at(row);
  const Float old = e.load_reals(sum_at, vector_bytes(e));
  const Float rescale = t.rescale.load(row);
  e.store(e.fma(old, rescale, total).value, sum_at, vector_bytes(e));
}

ChunkSizes value_chunks(Emitter& e, QueryTile& t) {
  const int lanes = e.lanes(), v_padded = t.layout.v_padded;
  return {v_padded, lanes, equal_width(v_padded / lanes, t.key.tiling.micro_vectors)};
}

// The cell of V or of weights that holds a key's.
Index cell_of(Emitter& e, QueryTile& t, Index key) { return {e.ir().CreateLShr(key.value, t.layout.v_group - 1)}; }

// acc[r][j] = rescale[row + r] * o[row + r][dim + j];
// for (k = visit.first; k < min(visit.after, count); k += v_group) acc[r][j] += P[row + r][k] * V[kv + k][dim + j];
// o[row + r][dim + j] = acc[r][j];
// Panels past the count hold weights of 0, but no row of V need lie there.
void emit_value_rows(Emitter& e, QueryTile& t, const KeyTile& keys, Index group, const Chunk& chunk) {
  const int rows = t.key.tiling.micro_rows;
  const Index row = e.mul(group, e.index(rows));
  const VectorTile outputs{e, e.opaque(t.o.at(row, chunk.dim)), t.o.stride, rows, chunk.vectors};
  const Ptr factors = e.opaque(t.rescale.at(row));
  Values acc;
  for (int r = 0; r < rows; ++r) {
    const Float rescale = e.load_real(e.at_real(factors, e.index(r)));
    for (int j = 0; j < chunk.vectors; ++j) {
      const Float old = e.load_reals(outputs.at(r, j), vector_bytes(e));
      acc.push_back(is_relative(t.key.weights) ? e.mul(rescale, old).value : old.value);
    }
  }
  const Index begin = cell_of(e, t, visit_field(e, t, group, offsetof(Visit, first)));
  const Index after = e.min(visit_field(e, t, group, offsetof(Visit, after)), keys.count);
  const Index end = cell_of(e, t, e.round_up(after, t.layout.v_group));
  const Ptr weights = t.s.at(row);
  const Index first_row = e.add(cell_of(e, t, keys.kv), begin);
  const Ptr values = at_cell(e, t.prefill.v_rows, e.add(e.mul(first_row, t.prefill.v_stride), chunk.dim));
  // V that does not fit the second-level cache comes from the third. Where a key's chunk is a single line, the lines of a tile
  // share few sets of the first level, and come from the second again and again.
  const std::int64_t chunk_bytes = std::int64_t{chunk.vectors} * vector_bytes(e);
  const CacheLevel level = chunk_bytes > kCacheLine ? CacheLevel::kSecond : CacheLevel::kFirst;
  const Index ahead = e.mul(t.prefill.v_stride, e.index(kKeysAhead * t.layout.cell_bytes));
  const auto load = [&](Ptr of_key, Index) {
    for (std::int64_t byte = 0; byte < chunk_bytes; byte += kCacheLine) {
      e.prefetch(e.anywhere(of_key, e.add(ahead, e.index(byte))), level);
    }
    CellVectors v;
    for (int j = 0; j < chunk.vectors; ++j) {
      v.push_back(load_cells(e, at_cell(e, of_key, e.index(j * e.lanes())), static_cast<int>(e.real_bytes())));
    }
    return v;
  };
  const Product product{.name = "pv",
                        .begin = begin,
                        .end = end,
                        .rows = rows,
                        .factors = weights,
                        .factor_stride = t.s.stride * e.real_bytes() / t.layout.cell_bytes,
                        .vectors = values};
  const auto next = [&](Ptr of_key) { return at_cell(e, of_key, t.prefill.v_stride); };
  outputs.store(emit_product(e, product, acc, load, next));
}

// for (c = begin; c < end; c += lanes) S[row][c..] = S[row][c..] takes part ? its weight times its factor : kNoPart, as reals
void emit_careful_weights(Emitter& e, QueryTile& t, Index group, Index row) {
  const bool relative_to_max = is_relative(t.key.weights);
  const Float base = relative_to_max ? e.neg(t.weights.shift_of(t.row_max.load(row))) : Float{};
  const Float least = relative_to_max ? t.least.load(row) : Float{};
  const Index begin = visit_field(e, t, group, offsetof(Visit, begin)), end = visit_field(e, t, group, offsetof(Visit, end));
  emit_factors_of_row(e, t, row, begin, end);
  e.for_range("careful_weights", begin, end, e.index(e.lanes()), [&](Index column) {
    const Ptr address = t.s.at(row, column);
    const Float x = t.weights.exponent_of(relative(e, e.load_reals(address, vector_bytes(e)), base));
    const Weighted weighted{t.weights.vanishes(x, least), t.weights.weight_of(x)};
    e.store(careful_weight(e, with_factor(e, weighted, factors_at(t, column))).value, address, vector_bytes(e));
  });
}

// One vector of value dims of one key. Of a pair, the lower half is the even key's.
Float load_values_of_key(Emitter& e, QueryTile& t, Index key, Index dim) {
  const Ptr address = at_cell(e, t.prefill.v_rows, e.add(e.mul(cell_of(e, t, key), t.prefill.v_stride), dim));
  if (t.layout.v_group == 1) return e.load_reals(address, static_cast<int>(e.real_bytes()));
  const Bool odd = e.equal(e.bit_and(key, e.index(1)), e.index(1));
  const Int shift = e.select(odd, e.constant_int(0), e.constant_int(16));
  const Int shifted = e.shl(e.load_int_vector(address), shift);
  return e.bits_as_float(e.bit_and(shifted, e.constant_int(static_cast<std::int32_t>(0xffff0000))));
}

}  // namespace

// for (r = 0; r < rows; r += lanes) row_maxima(r);                                 softmax weights only
// for each group: for (r = row; r < row + micro_rows; ++r) weights_of_row(r, visit.begin, visit.end);
void emit_weights(Emitter& e, QueryTile& t) {
  const SourceScope part = e.part(plan::Part::kWeights);
  if (is_relative(t.key.weights)) {
    e.for_range("maxima", e.index(0), t.item.rows, e.index(e.lanes()), [&](Index row) { emit_row_maxima(e, t, row); });
  }
  for_groups(e, t, "softmax", [&](Index group, Index row) {
    const Index begin = visit_field(e, t, group, offsetof(Visit, begin)), end = visit_field(e, t, group, offsetof(Visit, end));
    e.for_range("softmax.row", row, e.add(row, e.index(t.key.tiling.micro_rows)), e.index(1),
                [&](Index r) { emit_weights_of_row(e, t, r, begin, end); });
  });
}

void emit_values(Emitter& e, QueryTile& t, const KeyTile& keys) {
  const SourceScope part = e.part(plan::Part::kWeightsValues);
  for_chunks(e, "value_dims", value_chunks(e, t), [&](const Chunk& chunk) {
    for_groups(e, t, "value_rows", [&](Index group, Index) { emit_value_rows(e, t, keys, group, chunk); });
  });
}

// for each group: for (r = row; r < row + micro_rows; ++r) if (unsettled[r]) {
//   careful_weights(r);
//   for (k = visit.first; k < min(visit.after, count); ++k) o[r] += S[r][k] * V[kv + k] / kHeadroom
// }
void emit_careful_values(Emitter& e, QueryTile& t, const KeyTile& keys) {
  const SourceScope part = e.part(plan::Part::kCareful);
  for_groups(e, t, "careful_rows", [&](Index group, Index first) {
    t.unsettled.for_each("careful_row", first, e.add(first, e.index(t.key.tiling.micro_rows)), [&](Index row) {
      emit_careful_weights(e, t, group, row);
      const Index begin = visit_field(e, t, group, offsetof(Visit, first));
      const Index end = e.min(visit_field(e, t, group, offsetof(Visit, after)), keys.count);
      const auto weight = [&](Index k) { return t.s.at(row, k); };
      const auto values = [&](Index k, int, Index dim) { return load_values_of_key(e, t, e.add(keys.kv, k), dim); };
      for_chunks(e, "careful_dims", value_chunks(e, t),
                 [&](const Chunk& chunk) { emit_careful_product(e, {t.o, row, chunk, begin, end, weight, values}); });
    });
  });
}

}  // namespace flexjit::codegen
