// What the gradients of linear weights are made of beside products: features and values of rows as rows of reals, and gradients
// of features pulled back to the rows that they are of.
#include <cstddef>

#include "codegen/emit/cells.h"
#include "codegen/linear/chunk.h"
#include "codegen/nests/nests.h"
#include "codegen/parts/element_rows.h"
#include "plan/kernel_abi.h"

namespace flexjit::codegen {
namespace {

using plan::LinearArg;

// Rows of a tensor that a function takes, and how many.
struct Source {
  Rows rows;
  DType dtype;
  Index count;
};
Source queries_of(LinearChunk& c) { return {c.item.q, c.key.types.q, c.item.q_count}; }
Source keys_of(LinearChunk& c) { return {c.item.k, c.key.types.kv, c.item.kv_count}; }

Ptr real_row(Emitter& e, const Rows& rows, Index row) {
  return e.anywhere(rows.data, e.mul(e.mul(row, rows.stride), e.index(e.real_bytes())));
}

void take_rows(Emitter& e, LinearChunk& c, const Source& of) {
  e.for_range("rows", e.index(0), of.count, e.index(1),
              [&](Index i) { take_row(e, c, row_of(e, of.rows, of.dtype, i), of.dtype, i); });
}

Float where_kept(Emitter& e, LinearChunk& c, Index row, Float value) {
  const Bool kept = e.compare(FloatOrder::kNe, c.kept.load(row), e.real(0.0));
  return e.select(kept, value, e.broadcast(e.real(0.0)));
}

// out[row][f_padded] = features
void emit_query_features(Emitter& e, LinearChunk& c) {
  take_rows(e, c, queries_of(c));
  emit_row_features(e, c, c.item.q_count, [&](Index row, Index f, Float elements) {
    e.store(row_features(e, c, row, f, elements).value, e.at_real(real_row(e, c.item.out, row), f), vector_bytes(e));
  });
}

// The same of keys; zeros where the mask masks.
void emit_key_features(Emitter& e, LinearChunk& c) {
  emit_kept(e, c);
  take_rows(e, c, keys_of(c));
  emit_row_features(e, c, c.item.kv_count, [&](Index row, Index f, Float elements) {
    const Float features = where_kept(e, c, row, row_features(e, c, row, f, elements));
    e.store(features.value, e.at_real(real_row(e, c.item.out, row), f), vector_bytes(e));
  });
}

// out[row] = v, then 1; zeros where the mask masks
void emit_key_values(Emitter& e, LinearChunk& c) {
  emit_kept(e, c);
  const int dims = c.key.v_head_dim;
  e.for_range("rows", e.index(0), c.item.kv_count, e.index(1), [&](Index i) {
    const Ptr to = real_row(e, c.item.out, i);
    const std::int64_t last = dims / e.lanes() * e.lanes();
    e.store(e.broadcast(e.real(0.0)).value, e.at_real(to, e.index(last)), vector_bytes(e));
    const Ptr source = row_of(e, c.item.v, c.key.types.kv, i);
    for_vectors_of(e, "value_dims", source, {c.key.types.kv, dims},
                   [&](Index d, Float x) { e.store(where_kept(e, c, i, x).value, e.at_real(to, d), vector_bytes(e)); });
    const Bool kept = e.compare(FloatOrder::kNe, c.kept.load(i), e.real(0.0));
    e.store(e.select(kept, e.real(1.0), e.real(0.0)).value, e.at_real(to, e.index(dims)), static_cast<int>(e.real_bytes()));
  });
}

// 1 / the normaliser, and whether it is the sum itself.
struct Normaliser {
  Float factor;
  Bool is_sum;
};
Normaliser normaliser_of(Emitter& e, LinearChunk& c, Index row) {
  if (!c.key.linear.normalised) return {e.real(1.0), e.constant_bool(false)};
  const Float sum = e.load_real(real_row(e, c.item.k, row));
  return {e.div(e.real(1.0), e.max(sum, c.item.eps)), e.compare(FloatOrder::kGt, sum, c.item.eps)};
}

// out[row] = grad_out / normaliser, then less its product with the forward output
void emit_output_gradients(Emitter& e, LinearChunk& c) {
  const int dims = c.key.v_head_dim;
  const Bool as_f32 = e.logical_not(e.equal(c.item.as_f32, e.index(0)));
  e.for_range("rows", e.index(0), c.item.q_count, e.index(1), [&](Index i) {
    const Normaliser normaliser = normaliser_of(e, c, i);
    const Ptr to = real_row(e, c.item.out, i), output = row_of(e, c.item.v, c.key.types.out, i);
    e.store(e.broadcast(e.real(0.0)).value, e.at_real(to, e.index(dims / e.lanes() * e.lanes())), vector_bytes(e));
    of_either_type(e, c.key.types.out, as_f32, [&](DType dtype) {
      for_vectors_of(e, "grad_dims", row_of(e, c.item.q, dtype, i), {dtype, dims},
                     [&](Index d, Float x) { e.store(e.mul(x, normaliser.factor).value, e.at_real(to, d), vector_bytes(e)); });
    });
    const Ptr sum_at = c.normalisers.at(e.index(0));
    e.store(e.broadcast(e.real(0.0)).value, sum_at, vector_bytes(e));
    for_vectors_of(e, "output_dims", output, {c.key.types.out, dims}, [&](Index d, Float o) {
      const Float sums = e.load_reals(sum_at, vector_bytes(e)), x = e.load_reals(e.at_real(to, d), vector_bytes(e));
      e.store(e.fma(x, o, sums).value, sum_at, vector_bytes(e));
    });
    const Float product = e.reduce_add(e.load_reals(sum_at, vector_bytes(e)));
    const Float delta = e.select(normaliser.is_sum, e.neg(product), e.real(0.0));
    e.store(delta.value, e.at_real(to, e.index(dims)), static_cast<int>(e.real_bytes()));
  });
}

// q_features[row][f..] = gradient of the feature times its slope, squares: of the sum of squares; zeros past the features
void store_pulled(Emitter& e, LinearChunk& c, Index row, Index f, Float elements) {
  const Int number = e.add(e.narrow(f), e.lane_numbers());
  const Float squares = c.uses(ir::Op::kSumSq) ? c.q_squares.load(row) : Float{};
  const LinearChunk::Leaves leaves = {
      {ir::Op::kRowValue, elements.value}, {ir::Op::kSumSq, squares.value}, {ir::Op::kFeature, number.value}};
  const Float zeros = e.broadcast(e.real(0.0));
  const Bool exists = e.compare(llvm::CmpInst::ICMP_SLT, number, e.constant_int(c.features));
  const Float gradient = e.select(exists, e.load_reals(e.at_real(real_row(e, c.item.v, row), f), vector_bytes(e)), zeros);
  const auto times = [&](ir::Root root) {
    const Float slope{c.evaluate(c.program.roots()[root], leaves, {})};
    return e.select(exists, e.mul(gradient, e.broadcast(e.to_real(slope))), zeros);
  };
  e.store(times(ir::Root::kFeatureSlope).value, c.q_features.at(row, f), vector_bytes(e));
  if (c.uses(ir::Op::kSumSq)) e.store(times(ir::Root::kFeatureSquareSlope).value, c.pulled.at(row, f), vector_bytes(e));
}

// q_squares[row] = twice the gradient of the sum of squares
void sum_square_gradients(Emitter& e, LinearChunk& c, Index rows) {
  e.for_range("square_gradients", e.index(0), rows, e.index(1), [&](Index i) {
    const Values sum = e.for_range(
        "square_gradient", e.index(0), e.index(c.layout.f_padded), e.index(e.lanes()), {e.broadcast(e.real(0.0)).value},
        [&](Index f, const Values& so_far) { return Values{e.add(Float{so_far[0]}, c.pulled.load_vector(i, f)).value}; });
    const Float total = e.mul(e.reduce_add(Float{sum[0]}), e.real(2.0));
    e.store(total.value, c.q_squares.at(i), static_cast<int>(e.real_bytes()));
  });
}

// acc[r][j] = sum over f of q_features[row + r][f] * W[f][dim + j], or q_features itself; plus q_squares * q
Values pulled_rows(Emitter& e, LinearChunk& c, Index row, int rows, const Chunk& dims) {
  Values acc(static_cast<std::size_t>(rows * dims.vectors), e.broadcast(e.real(0.0)).value);
  if (c.key.linear.projected) {
    const auto load = [&](Ptr w, Index) {
      CellVectors vectors;
      for (int j = 0; j < dims.vectors; ++j)
        vectors.push_back(load_cells(e, e.at_real(w, e.index(std::int64_t{j} * e.lanes())), static_cast<int>(e.real_bytes())));
      return vectors;
    };
    const Product product{.name = "gw",
                          .begin = e.index(0),
                          .end = e.index(c.features),
                          .rows = rows,
                          .factors = e.opaque(c.q_features.at(row)),
                          .factor_stride = c.q_features.stride,
                          .vectors = e.at_real(c.item.w_rows, dims.dim)};
    acc = emit_product(e, product, acc, load, [&](Ptr w) { return e.at_real(w, e.index(c.key.head_dim)); });
  }
  for (int i = 0; i < rows * dims.vectors; ++i) {
    llvm::Value*& sum = acc[static_cast<std::size_t>(i)];
    const Index r = e.add(row, e.index(i / dims.vectors)), d = e.add(dims.dim, e.index(i % dims.vectors * e.lanes()));
    if (!c.key.linear.projected) sum = c.q_features.load_vector(r, d).value;
    if (c.uses(ir::Op::kSumSq)) sum = e.fma(c.q.load_vector(r, d), c.q_squares.load(r), Float{sum}).value;
  }
  return acc;
}

// out[row] = the gradient of the row, from those of its features, v
void emit_pull(Emitter& e, LinearChunk& c, const Source& of, Bool masked) {
  take_rows(e, c, of);
  emit_row_features(e, c, of.count, [&](Index row, Index f, Float elements) { store_pulled(e, c, row, f, elements); });
  if (c.uses(ir::Op::kSumSq)) sum_square_gradients(e, c, of.count);
  const Bool as_f32 = e.logical_not(e.equal(c.item.as_f32, e.index(0)));
  const int most = equal_width(static_cast<int>(c.q.stride) / e.lanes(), c.key.tiling.micro_vectors);
  for_chunks(e, "pull_dims", {c.key.head_dim, e.lanes(), most}, [&](const Chunk& dims) {
    for_row_chunks(e, "pull_rows", of.count, c.tile_rows(dims.vectors), [&](Index row, int rows) {
      const Values acc = pulled_rows(e, c, row, rows, dims);
      of_either_type(e, of.dtype, as_f32, [&](DType dtype) {
        for (int i = 0; i < rows * dims.vectors; ++i) {
          const Index r = e.add(row, e.index(i / dims.vectors));
          Float sum{acc[static_cast<std::size_t>(i)]};
          if (masked) sum = where_kept(e, c, r, sum);
          give_vector(e, c, {sum, dtype, dims.elements(i % dims.vectors, e.lanes())}, row_of(e, c.item.out, dtype, r),
                      e.add(dims.dim, e.index(i % dims.vectors * e.lanes())));
        }
      });
    });
  });
}

// out[row] = rows of reals, v
void emit_give_values(Emitter& e, LinearChunk& c) {
  const Bool as_f32 = e.logical_not(e.equal(c.item.as_f32, e.index(0)));
  of_either_type(e, c.key.types.kv, as_f32, [&](DType dtype) {
    e.for_range("rows", e.index(0), c.item.kv_count, e.index(1), [&](Index i) {
      give_row(e, "give", real_row(e, c.item.v, i), row_of(e, c.item.out, dtype, i), {dtype, c.key.v_head_dim}, e.real(1.0));
    });
  });
}

void emit_function(Emitter& e, const plan::KernelKey& key, const char* name, llvm::function_ref<void(LinearChunk&)> body) {
  const Ptr arg = e.begin_function(name, "rows");
  const SourceScope part = e.part(plan::Part::kQueries);
  LinearChunk c(e, key, load_linear_item(e, arg));
  body(c);
  e.end_function();
}

}  // namespace

void emit_linear_rows(Emitter& e, const plan::KernelKey& key) {
  emit_function(e, key, "query_features", [&](LinearChunk& c) { emit_query_features(e, c); });
  emit_function(e, key, "key_features", [&](LinearChunk& c) { emit_key_features(e, c); });
  emit_function(e, key, "key_values", [&](LinearChunk& c) { emit_key_values(e, c); });
  emit_function(e, key, "output_gradients", [&](LinearChunk& c) { emit_output_gradients(e, c); });
  emit_function(e, key, "pull_queries", [&](LinearChunk& c) { emit_pull(e, c, queries_of(c), {}); });
  emit_function(e, key, "pull_keys", [&](LinearChunk& c) {
    emit_kept(e, c);
    emit_pull(e, c, keys_of(c), e.constant_bool(true));
  });
  emit_function(e, key, "give_values", [&](LinearChunk& c) { emit_give_values(e, c); });
}

}  // namespace flexjit::codegen
