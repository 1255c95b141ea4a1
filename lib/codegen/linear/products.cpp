// The three products of a chunk. A key that comes after a query has no part in its output, whatever its values are.
#include "codegen/emit/cells.h"
#include "codegen/emit/lane_transpose.h"
#include "codegen/linear/chunk.h"
#include "codegen/parts/element_rows.h"

namespace flexjit::codegen {
namespace {

// The vectors of a row of reals from where a step's address points.
CellVectors load_vectors(Emitter& e, Ptr row, int vectors) {
  CellVectors cells;
  for (int j = 0; j < vectors; ++j)
    cells.push_back(load_cells(e, e.at_real(row, e.index(std::int64_t{j} * e.lanes())), vector_bytes(e)));
  return cells;
}

// acc[r][j] += sum over [begin, end) of factors[r][k] * rows[k][column + j]
Values add_product(Emitter& e, Product product, const RealRows& rows, Index column, int vectors, const Values& acc) {
  product.vectors = rows.at(product.begin, column);
  const auto load = [&](Ptr row, Index) { return load_vectors(e, row, vectors); };
  return emit_product(e, product, acc, load, [&](Ptr row) { return e.at_real(row, e.index(rows.stride)); });
}

// weights[row + r][column..] = since * q_features . k_features where the key is not after the query, else 0
void emit_weight_rows(Emitter& e, LinearChunk& c, Index column, Index row, int rows) {
  const Product product{.name = "qk",
                        .begin = e.index(0),
                        .end = e.index(c.features),
                        .rows = rows,
                        .factors = e.opaque(c.q_features.at(row)),
                        .factor_stride = c.q_features.stride,
                        .vectors = {}};
  const Values zeros(static_cast<std::size_t>(rows), e.broadcast(e.real(0.0)).value);
  const Values acc = add_product(e, product, c.k_features, column, 1, zeros);
  for (int r = 0; r < rows; ++r) {
    const Index query = e.add(row, e.index(r));
    Float weight{acc[static_cast<std::size_t>(r)]};
    if (c.has_gates) weight = e.mul(weight, e.load_reals(c.since.at(query, column), vector_bytes(e)));
    const Bool before = e.compare(llvm::CmpInst::ICMP_SLE, e.lane_numbers(), e.narrow(e.sub(query, column)));
    e.store(e.select(before, weight, e.broadcast(e.real(0.0))).value, c.weights.at(query, column), vector_bytes(e));
  }
}

// normalisers[row] = 1 / max(q_features . feature_sums * since_begin + sum of weights, eps)
void emit_normalisers(Emitter& e, LinearChunk& c) {
  e.for_range("normalisers", e.index(0), c.item.q_count, e.index(1), [&](Index row) {
    const Float zeros = e.broadcast(e.real(0.0));
    const Values of_state = e.for_range("state_sum", e.index(0), e.index(c.layout.f_padded), e.index(e.lanes()), {zeros.value},
                                        [&](Index f, const Values& so_far) {
                                          const Float z = e.load_reals(c.feature_sums.at(f), vector_bytes(e));
                                          return Values{e.fma(c.q_features.load_vector(row, f), z, Float{so_far[0]}).value};
                                        });
    Float sum{of_state[0]};
    const auto own = [&](Index column, const Values& so_far) {
      return Values{e.add(Float{so_far[0]}, c.weights.load_vector(row, column)).value};
    };
    const Index end = e.select(c.has_keys, e.round_up(e.add(row, e.index(1)), e.lanes()), e.index(0));
    if (c.has_gates) {
      const Float since = e.select(c.has_keys, c.since_begin.load(row), e.real(1.0));
      sum = e.mul(sum, since);
    }
    sum = Float{e.for_range("weight_sum", e.index(0), end, e.index(e.lanes()), {sum.value}, own)[0]};
    const Float total = e.max(e.reduce_add(sum), c.item.eps);
    e.store(e.div(e.real(1.0), total).value, c.normalisers.at(row), static_cast<int>(e.real_bytes()));
  });
}

// acc[r] += sum over j <= row + r of weights[row + r][j] * v[j]: keys that all rows see, then those of the tile's own triangle.
Values add_chunk_values(Emitter& e, LinearChunk& c, Index row, int rows, const Chunk& dims, Values acc) {
  Product product{.name = "wv",
                  .begin = e.index(0),
                  .end = row,
                  .rows = rows,
                  .factors = e.opaque(c.weights.at(row)),
                  .factor_stride = c.weights.stride,
                  .vectors = {}};
  acc = add_product(e, product, c.v, dims.dim, dims.vectors, acc);
  for (int s = 0; s < rows; ++s) {
    const Index key = e.add(row, e.index(s));
    const CellVectors v = load_vectors(e, c.v.at(key, dims.dim), dims.vectors);
    for (int r = s; r < rows; ++r) {
      const Cells weight = broadcast_cell(e, c.weights.at(e.add(row, e.index(r)), key));
      for (int j = 0; j < dims.vectors; ++j) {
        llvm::Value*& sum = acc[static_cast<std::size_t>(r * dims.vectors + j)];
        sum = multiply_add(e, weight, v[static_cast<std::size_t>(j)], Float{sum}).value;
      }
    }
  }
  return acc;
}

void give_rows(Emitter& e, LinearChunk& c, const Rows& out, Index row, int rows, const Chunk& dims, const Values& acc) {
  for (int r = 0; r < rows; ++r) {
    const Index query = e.add(row, e.index(r));
    e.if_then("output", e.less(query, c.item.q_count), [&] {
      const Ptr to = row_of(e, out, c.key.types.out, query);
      const Float factor = c.key.linear.normalised ? e.broadcast(c.normalisers.load(query)) : Float{};
      for (int j = 0; j < dims.vectors; ++j) {
        const Float sum{acc[static_cast<std::size_t>(r * dims.vectors + j)]};
        give_vector(e, c, {factor ? e.mul(sum, factor) : sum, c.key.types.out, dims.elements(j, e.lanes())}, to,
                    e.add(dims.dim, e.index(j * e.lanes())));
      }
    });
  }
}

// out[row + r] = (since_begin * q_features . state + sum of weights * v) * normaliser
void emit_output_rows(Emitter& e, LinearChunk& c, const Rows& out, Index row, int rows, const Chunk& dims) {
  const Product product{.name = "qs",
                        .begin = e.index(0),
                        .end = e.index(c.features),
                        .rows = rows,
                        .factors = e.opaque(c.q_features.at(row)),
                        .factor_stride = c.q_features.stride,
                        .vectors = {}};
  const Values zeros(static_cast<std::size_t>(rows * dims.vectors), e.broadcast(e.real(0.0)).value);
  const Values of_state = add_product(e, product, c.state, dims.dim, dims.vectors, zeros);
  const Index once = e.widen_bool(c.has_keys);
  const Values acc = e.for_range("own_keys", e.index(0), once, e.index(1), of_state, [&](Index, const Values& sums) {
    Values faded = sums;
    for (int i = 0; c.has_gates && i < rows * dims.vectors; ++i) {
      llvm::Value*& sum = faded[static_cast<std::size_t>(i)];
      sum = e.mul(Float{sum}, c.since_begin.load(e.add(row, e.index(i / dims.vectors)))).value;
    }
    return add_chunk_values(e, c, row, rows, dims, faded);
  });
  give_rows(e, c, out, row, rows, dims, acc);
}

// feature_sums[f..] = fade * feature_sums[f..] + sum over keys of k_features[f..][j] * since[last][j]
void emit_feature_sums(Emitter& e, LinearChunk& c, Index f, int features, Float fade, Index last) {
  const Values zeros(static_cast<std::size_t>(features), e.broadcast(e.real(0.0)).value);
  const Values sums =
      e.for_range("key_sums", e.index(0), c.columns, e.index(e.lanes()), zeros, [&](Index column, const Values& so_far) {
        const Float since = c.has_gates ? c.since.load_vector(last, column) : Float{};
        const Ptr first = c.k_features.at(f, column);
        Values next;
        for (int i = 0; i < features; ++i) {
          const Ptr row = e.at_real(first, e.index(i * c.k_features.stride));
          const Float x = e.load_reals(row, vector_bytes(e));
          const Float sum{so_far[static_cast<std::size_t>(i)]};
          next.push_back((c.has_gates ? e.fma(x, since, sum) : e.add(x, sum)).value);
        }
        return next;
      });
  for (int i = 0; i < e.lanes(); ++i) {
    llvm::Value* sum = i < features ? sums[static_cast<std::size_t>(i)] : e.broadcast(e.real(0.0)).value;
    e.store(sum, c.sums.at(e.index(i)), vector_bytes(e));
  }
  const Float total = reduce_rows(e, c.sums.at(e.index(0)), [&](Float a, Float b) { return e.add(a, b); });
  const Float before = e.load_reals(c.feature_sums.at(f), vector_bytes(e));
  e.store((fade ? e.fma(before, fade, total) : e.add(before, total)).value, c.feature_sums.at(f), vector_bytes(e));
}

}  // namespace

void give_vector(Emitter& e, LinearChunk& c, const GivenVector& vector, Ptr to, Index d) {
  if (vector.count == e.lanes()) return give_elements(e, vector.reals, to, d, vector.dtype);
  e.store(vector.reals.value, c.sums.at(e.index(0)), vector_bytes(e));
  e.for_range("output.tail", e.index(0), e.index(vector.count), e.index(1),
              [&](Index i) { give_elements(e, e.load_real(c.sums.at(e.index(0), i)), to, e.add(d, i), vector.dtype); });
}

// Panels of keys by tiles of rows: those from the panel's first key on.
void emit_chunk_weights(Emitter& e, LinearChunk& c) {
  const SourceScope part = e.part(plan::Part::kQueryKey);
  const int rows = c.tile_rows(1);
  e.for_range("weight_panels", e.index(0), c.columns, e.index(e.lanes()), [&](Index column) {
    e.for_range("weight_rows", e.bit_and(column, e.index(-rows)), c.item.q_count, e.index(rows),
                [&](Index row) { emit_weight_rows(e, c, column, row, rows); });
  });
}

void emit_outputs(Emitter& e, LinearChunk& c, Index head) {
  const SourceScope part = e.part(plan::Part::kWeightsValues);
  if (c.key.linear.normalised) emit_normalisers(e, c);
  const Rows out = c.output_rows(head);
  ChunkSizes sizes = c.value_chunks();
  sizes.dims = c.key.v_head_dim;
  for_chunks(e, "output_dims", sizes, [&](const Chunk& dims) {
    const int rows = c.tile_rows(dims.vectors);
    e.for_range("output_rows", e.index(0), c.item.q_count, e.index(rows),
                [&](Index row) { emit_output_rows(e, c, out, row, rows, dims); });
  });
}

void emit_state(Emitter& e, LinearChunk& c) {
  const SourceScope part = e.part(plan::Part::kWeightsValues);
  const Index last = e.sub(c.item.kv_count, e.index(1));
  const Float fade = c.has_gates ? e.broadcast(c.since_begin.load(last)) : Float{};
  for_chunks(e, "state_dims", c.value_chunks(), [&](const Chunk& dims) {
    for_row_groups(e, "state_features", c.features, c.tile_rows(dims.vectors), [&](Index f, int rows) {
      const VectorTile tile{e, e.opaque(c.state.at(f, dims.dim)), c.state.stride, rows, dims.vectors};
      Values acc = tile.load();
      if (fade)
        for (llvm::Value*& sum : acc) sum = e.mul(Float{sum}, fade).value;
      const Product product{.name = "kv",
                            .begin = e.index(0),
                            .end = c.item.kv_count,
                            .rows = rows,
                            .factors = e.opaque(c.k_features.at(f)),
                            .factor_stride = c.k_features.stride,
                            .vectors = {}};
      tile.store(add_product(e, product, c.has_gates ? c.faded_v : c.v, dims.dim, dims.vectors, acc));
    });
  });
  if (!c.key.linear.normalised) return;
  for_row_groups(e, "feature_sums", c.features, e.lanes(),
                 [&](Index f, int features) { emit_feature_sums(e, c, f, features, fade, last); });
}

}  // namespace flexjit::codegen
