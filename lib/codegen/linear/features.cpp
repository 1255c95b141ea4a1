// Rows of queries and keys -> their features. A projection is a product in registers, whose epilogue is the feature map.
#include "codegen/emit/cells.h"
#include "codegen/linear/chunk.h"
#include "codegen/parts/element_rows.h"
#include "codegen/parts/panels.h"

namespace flexjit::codegen {
namespace {

// panels[column / lanes][d][lane]: element d of the keys from `column` on.
Ptr k_panel(Emitter& e, LinearChunk& c, Index column) {
  const Ptr panels = e.at_byte(c.item.scratch, c.at.k_panels);
  return e.at_real(panels, e.mul(column, e.index(c.key.head_dim)));
}

Bool is_kept(Emitter& e, Float kept) { return e.compare(FloatOrder::kNe, kept, e.real(0.0)); }

// squares[column..] = sum of the squares of the elements of keys
void emit_key_squares(Emitter& e, LinearChunk& c) {
  if (!c.uses(ir::Op::kSumSq)) return;
  e.for_range("key_squares", e.index(0), c.columns, e.index(e.lanes()), [&](Index column) {
    const Ptr panel = k_panel(e, c, column);
    const Values sum = e.for_range("squares", e.index(0), e.index(c.key.head_dim), e.index(1), {e.broadcast(e.real(0.0)).value},
                                   [&](Index d, const Values& so_far) {
                                     const Ptr address = e.at_real(panel, e.mul(d, e.index(e.lanes())));
                                     const Float x = e.load_reals(address, vector_bytes(e));
                                     return Values{e.fma(x, x, Float{so_far[0]}).value};
                                   });
    e.store(sum[0], c.squares.at(column), vector_bytes(e));
  });
}

// v[j] = the values of a key that is kept, else zeros: what lies at masked keys, or past the last one, has no part.
void emit_values_of_keys(Emitter& e, LinearChunk& c) {
  e.for_range("values", e.index(0), c.columns, e.index(1), [&](Index j) {
    e.if_else(
        "value_kept", is_kept(e, c.kept.load(j)),
        [&] {
          copy_row(e, "value_dims", row_of(e, c.item.v, c.key.types.kv, j), {c.key.types.kv, c.key.v_head_dim}, c.v.at(j), {});
        },
        [&] { c.v.clear(j); });
  });
}

// k_features[f][column..] = kept ? the feature of these elements : 0
void store_key_feature(Emitter& e, LinearChunk& c, Index f, Index column, Float elements) {
  const Float squares = c.uses(ir::Op::kSumSq) ? c.squares.load_vector(column, e.index(0)) : Float{};
  const Float feature = c.feature(elements, squares, e.narrow(f));
  const Bool kept = is_kept(e, c.kept.load_vector(column, e.index(0)));
  e.store(e.select(kept, feature, e.broadcast(e.real(0.0))).value, c.k_features.at(f, column), vector_bytes(e));
}

void emit_plain_key_features(Emitter& e, LinearChunk& c) {
  e.for_range("keys", e.index(0), c.columns, e.index(e.lanes()), [&](Index column) {
    const Ptr panel = k_panel(e, c, column);
    e.for_range("key_feature", e.index(0), e.index(c.features), e.index(1), [&](Index f) {
      store_key_feature(e, c, f, column, e.load_reals(e.at_real(panel, e.mul(f, e.index(e.lanes()))), vector_bytes(e)));
    });
  });
}

// acc[r][j] = sum over d of W[f + r][d] * panel[j][d]
void emit_projected_keys(Emitter& e, LinearChunk& c, Index column, int vectors) {
  const std::int64_t dims = c.key.head_dim;
  for_row_groups(e, "key_features", c.features, c.tile_rows(vectors), [&](Index f, int rows) {
    const Product product{.name = "wk",
                          .begin = e.index(0),
                          .end = e.index(dims),
                          .rows = rows,
                          .factors = e.at_real(c.item.w_rows, e.mul(f, e.index(dims))),
                          .factor_stride = dims,
                          .vectors = k_panel(e, c, column)};
    const auto load = [&](Ptr panel, Index) {
      CellVectors k;
      for (int j = 0; j < vectors; ++j)
        k.push_back(load_cells(e, e.at_real(panel, e.index(std::int64_t{j} * e.lanes() * dims)), vector_bytes(e)));
      return k;
    };
    const Values zeros(static_cast<std::size_t>(rows * vectors), e.broadcast(e.real(0.0)).value);
    const Values acc = emit_product(e, product, zeros, load, [&](Ptr panel) { return e.at_real(panel, e.index(e.lanes())); });
    for (int i = 0; i < rows * vectors; ++i) {
      store_key_feature(e, c, e.add(f, e.index(i / vectors)), e.add(column, e.index(i % vectors * e.lanes())),
                        Float{acc[static_cast<std::size_t>(i)]});
    }
  });
}

// As many panels at once as a micro-tile has vectors, then one by one.
void emit_projected_key_features(Emitter& e, LinearChunk& c) {
  const int vectors = std::min(c.key.tiling.micro_vectors, c.chunk / e.lanes());
  const std::int64_t strip = std::int64_t{vectors} * e.lanes();
  const Index whole = e.bit_and(c.columns, e.index(-strip));
  e.for_range("key_strips", e.index(0), whole, e.index(strip),
              [&](Index column) { emit_projected_keys(e, c, column, vectors); });
  if (vectors == 1) return;
  e.for_range("key_panels", whole, c.columns, e.index(e.lanes()), [&](Index column) { emit_projected_keys(e, c, column, 1); });
}

void emit_plain_row_features(Emitter& e, LinearChunk& c, Index rows, StoreFeatures store) {
  e.for_range("row_features", e.index(0), rows, e.index(1), [&](Index row) {
    e.for_range("row_feature", e.index(0), e.index(c.layout.f_padded), e.index(e.lanes()),
                [&](Index f) { store(row, f, c.q.load_vector(row, f)); });
  });
}

// acc[r][j] = sum over d of q[row + r][d] * W[f + j * lanes ..][d]
void emit_projected_rows(Emitter& e, LinearChunk& c, Index row, int rows, const Chunk& features, StoreFeatures store) {
  const std::int64_t dims = c.key.head_dim;
  const Product product{.name = "wq",
                        .begin = e.index(0),
                        .end = e.index(dims),
                        .rows = rows,
                        .factors = e.opaque(c.q.at(row)),
                        .factor_stride = c.q.stride,
                        .vectors = e.at_real(c.item.w_panels, e.mul(features.dim, e.index(dims)))};
  const auto load = [&](Ptr panel, Index) {
    CellVectors w;
    for (int j = 0; j < features.vectors; ++j)
      w.push_back(load_cells(e, e.at_real(panel, e.index(std::int64_t{j} * e.lanes() * dims)), vector_bytes(e)));
    return w;
  };
  const Values zeros(static_cast<std::size_t>(rows * features.vectors), e.broadcast(e.real(0.0)).value);
  const Values acc = emit_product(e, product, zeros, load, [&](Ptr panel) { return e.at_real(panel, e.index(e.lanes())); });
  for (int i = 0; i < rows * features.vectors; ++i) {
    store(e.add(row, e.index(i / features.vectors)), e.add(features.dim, e.index(i % features.vectors * e.lanes())),
          Float{acc[static_cast<std::size_t>(i)]});
  }
}

void emit_projected_row_features(Emitter& e, LinearChunk& c, Index rows, StoreFeatures store) {
  const int most = equal_width(c.layout.f_padded / e.lanes(), c.key.tiling.micro_vectors);
  for_chunks(e, "row_features", {c.layout.f_padded, e.lanes(), most}, [&](const Chunk& features) {
    for_row_chunks(e, "feature_rows", rows, c.tile_rows(features.vectors),
                   [&](Index row, int count) { emit_projected_rows(e, c, row, count, features, store); });
  });
}

}  // namespace

void emit_keys(Emitter& e, LinearChunk& c) {
  const SourceScope part = e.part(plan::Part::kPackKeys);
  emit_panels(e, {c.item.k, c.key.types.kv, c.key.head_dim, false}, {e.index(0), c.columns, c.item.kv_count},
              e.at_byte(c.item.scratch, c.at.k_panels));
  emit_kept(e, c);
  emit_key_squares(e, c);
  emit_values_of_keys(e, c);
  c.key.linear.projected ? emit_projected_key_features(e, c) : emit_plain_key_features(e, c);
}

void take_row(Emitter& e, LinearChunk& c, Ptr source, DType dtype, Index row) {
  copy_row(e, "row_dims", source, {dtype, c.key.head_dim}, c.q.at(row), {});
  if (!c.uses(ir::Op::kSumSq)) return;
  const Values sum = e.for_range("squares", e.index(0), e.index(c.q.stride), e.index(e.lanes()),
                                 {e.broadcast(e.real(0.0)).value}, [&](Index d, const Values& so_far) {
                                   const Float x = c.q.load_vector(row, d);
                                   return Values{e.fma(x, x, Float{so_far[0]}).value};
                                 });
  e.store(e.reduce_add(Float{sum[0]}).value, c.q_squares.at(row), static_cast<int>(e.real_bytes()));
}

void emit_row_features(Emitter& e, LinearChunk& c, Index rows, StoreFeatures store) {
  c.key.linear.projected ? emit_projected_row_features(e, c, rows, store) : emit_plain_row_features(e, c, rows, store);
}

Float row_features(Emitter& e, LinearChunk& c, Index row, Index f, Float elements) {
  const Float squares = c.uses(ir::Op::kSumSq) ? c.q_squares.load(row) : Float{};
  const Int number = e.add(e.narrow(f), e.lane_numbers());
  const Float features = c.feature(elements, squares, number);
  if (c.layout.f_padded == c.features) return features;
  const Bool exists = e.compare(llvm::CmpInst::ICMP_SLT, number, e.constant_int(c.features));
  return e.select(exists, features, e.broadcast(e.real(0.0)));
}

void store_row_features(Emitter& e, LinearChunk& c, Index row, Index f, Float elements) {
  e.store(row_features(e, c, row, f, elements).value, c.q_features.at(row, f), vector_bytes(e));
}

void emit_kept(Emitter& e, LinearChunk& c) {
  e.for_range("kept", e.index(0), c.columns, e.index(e.lanes()), [&](Index column) {
    const Bool there = c.lanes_there(column);
    Bool kept = there;
    if (const ir::Id mask = c.program.mask(); mask.valid()) {
      const Bool allowed{c.evaluate(mask, {{ir::Op::kKvIdx, c.positions(column).value}}, there)};
      kept = e.logical_and(there, allowed);
    }
    const Float ones = e.broadcast(e.real(1.0)), zeros = e.broadcast(e.real(0.0));
    e.store(e.select(kept, ones, zeros).value, c.kept.at(column), vector_bytes(e));
  });
}

void emit_queries(Emitter& e, LinearChunk& c, Index head) {
  const SourceScope part = e.part(plan::Part::kQueries);
  const Rows rows = c.query_rows(head);
  e.for_range("queries", e.index(0), c.item.q_count, e.index(1),
              [&](Index i) { take_row(e, c, row_of(e, rows, c.key.types.q, i), c.key.types.q, i); });
  emit_row_features(e, c, c.item.q_count,
                    [&](Index row, Index f, Float elements) { store_row_features(e, c, row, f, elements); });
}

}  // namespace flexjit::codegen
