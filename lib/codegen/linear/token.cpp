// One key and the queries of the heads that share it, for decoding: rows of features side by side, and one pass over the state,
// which takes the key and meets the first query as it goes by.
#include "codegen/linear/chunk.h"
#include "codegen/parts/element_rows.h"

namespace flexjit::codegen {
namespace {

constexpr int kFeaturesAtOnce = 2;  // sums wait for each other less

// The key as its row of features and a factor for what was before; both 0 and 1 where the mask leaves it out.
struct Token {
  Ptr features;
  Float fade;  // empty: 1
  Bool kept;
};

// k_f, which was kept; q_f of the first head
Token emit_token_features(Emitter& e, LinearChunk& c) {
  const SourceScope part = e.part(plan::Part::kQueries);
  take_row(e, c, c.item.k.data, c.key.types.kv, e.index(0));
  e.for_range("head_rows", e.index(0), c.item.heads, e.index(1),
              [&](Index head) { take_row(e, c, c.query_rows(head).data, c.key.types.q, e.add(head, e.index(1))); });
  emit_row_features(e, c, e.add(c.item.heads, e.index(1)),
                    [&](Index row, Index f, Float elements) { store_row_features(e, c, row, f, elements); });
  Token token{.features = c.q_features.at(e.index(0)), .fade = {}, .kept = e.constant_bool(true)};
  const Int position = e.narrow(c.item.kv_begin);
  if (const ir::Id mask = c.program.mask(); mask.valid())
    token.kept = Bool{c.evaluate(mask, {{ir::Op::kKvIdx, position.value}}, {})};
  if (c.has_gates)
    token.fade = e.broadcast(e.to_real(Float{c.evaluate(c.program.gate(), {{ir::Op::kKvIdx, position.value}}, {})}));
  e.if_then("masked", e.logical_not(token.kept), [&] {
    e.for_range("no_features", e.index(0), e.index(c.layout.f_padded), e.index(e.lanes()),
                [&](Index f) { e.store(e.broadcast(e.real(0.0)).value, c.q_features.at(e.index(0), f), vector_bytes(e)); });
  });
  e.if_else(
      "value", token.kept,
      [&] { copy_row(e, "value_dims", c.item.v.data, {c.key.types.kv, c.key.v_head_dim}, c.v.at(e.index(0)), {}); },
      [&] { c.v.clear(e.index(0)); });
  return token;
}

Float broadcast_at(Emitter& e, Ptr reals, Index i) { return e.broadcast(e.load_real(e.at_real(reals, i))); }

// state[f] = fade * state[f] + k_f v, and acc += q_f state[f], for some features side by side
Values pass_over_state(Emitter& e, LinearChunk& c, const Token& token, const Chunk& dims) {
  const int vectors = dims.vectors;
  const Ptr query = c.q_features.at(e.index(1));
  Values v;
  for (int j = 0; j < vectors; ++j) v.push_back(c.v.load_vector(e.index(0), e.add(dims.dim, e.index(j * e.lanes()))).value);
  const Values zeros(static_cast<std::size_t>(kFeaturesAtOnce * vectors), e.broadcast(e.real(0.0)).value);
  return e.for_range("token", e.index(0), e.index(c.layout.f_padded), e.index(kFeaturesAtOnce), zeros,
                     [&](Index f, const Values& sums) {
                       const VectorTile tile{e, e.opaque(c.state.at(f, dims.dim)), c.state.stride, kFeaturesAtOnce, vectors};
                       Values states = tile.load(), next;
                       for (int i = 0; i < kFeaturesAtOnce * vectors; ++i) {
                         const auto at = static_cast<std::size_t>(i);
                         const Index feature = e.add(f, e.index(i / vectors));
                         const Float value{v[static_cast<std::size_t>(i % vectors)]};
                         Float state{states[at]};
                         if (token.fade) state = e.mul(state, token.fade);
                         state = e.fma(broadcast_at(e, token.features, feature), value, state);
                         states[at] = state.value;
                         next.push_back(e.fma(broadcast_at(e, query, feature), state, Float{sums[at]}).value);
                       }
                       tile.store(states);
                       return next;
                     });
}

// acc = sum over f of q_f state[f] of another head
Values meet_state(Emitter& e, LinearChunk& c, Index head, const Chunk& dims) {
  const Ptr query = c.q_features.at(e.add(head, e.index(1)));
  const Values zeros(static_cast<std::size_t>(kFeaturesAtOnce * dims.vectors), e.broadcast(e.real(0.0)).value);
  return e.for_range(
      "meet", e.index(0), e.index(c.layout.f_padded), e.index(kFeaturesAtOnce), zeros, [&](Index f, const Values& sums) {
        const VectorTile tile{e, e.opaque(c.state.at(f, dims.dim)), c.state.stride, kFeaturesAtOnce, dims.vectors};
        const Values states = tile.load();
        Values next;
        for (int i = 0; i < kFeaturesAtOnce * dims.vectors; ++i) {
          const Float factor = broadcast_at(e, query, e.add(f, e.index(i / dims.vectors)));
          next.push_back(
              e.fma(factor, Float{states[static_cast<std::size_t>(i)]}, Float{sums[static_cast<std::size_t>(i)]}).value);
        }
        return next;
      });
}

void give_sums(Emitter& e, LinearChunk& c, Index head, const Chunk& dims, const Values& sums) {
  const Ptr to = c.output_rows(head).data;
  const Float factor = c.key.linear.normalised ? e.broadcast(c.normalisers.load(head)) : Float{};
  for (int j = 0; j < dims.vectors; ++j) {
    Float sum{sums[static_cast<std::size_t>(j)]};
    for (int i = 1; i < kFeaturesAtOnce; ++i) sum = e.add(sum, Float{sums[static_cast<std::size_t>(i * dims.vectors + j)]});
    give_vector(e, c, {factor ? e.mul(sum, factor) : sum, c.key.types.out, dims.elements(j, e.lanes())}, to,
                e.add(dims.dim, e.index(j * e.lanes())));
  }
}

// feature_sums = fade * feature_sums + k; normalisers[head] = 1 / max(q . feature_sums, eps)
void emit_token_sums(Emitter& e, LinearChunk& c, const Token& token) {
  e.for_range("token_sums", e.index(0), e.index(c.layout.f_padded), e.index(e.lanes()), [&](Index f) {
    const Ptr address = c.feature_sums.at(f);
    const Float before = e.load_reals(address, vector_bytes(e)), key = c.q_features.load_vector(e.index(0), f);
    e.store((token.fade ? e.fma(before, token.fade, key) : e.add(before, key)).value, address, vector_bytes(e));
  });
  e.for_range("token_normalisers", e.index(0), c.item.heads, e.index(1), [&](Index head) {
    const Values sum = e.for_range("token_sum", e.index(0), e.index(c.layout.f_padded), e.index(e.lanes()),
                                   {e.broadcast(e.real(0.0)).value}, [&](Index f, const Values& so_far) {
                                     const Float q = c.q_features.load_vector(e.add(head, e.index(1)), f);
                                     const Float z = e.load_reals(c.feature_sums.at(f), vector_bytes(e));
                                     return Values{e.fma(q, z, Float{so_far[0]}).value};
                                   });
    const Float total = e.max(e.reduce_add(Float{sum[0]}), c.item.eps);
    e.store(e.div(e.real(1.0), total).value, c.normalisers.at(head), static_cast<int>(e.real_bytes()));
  });
}

}  // namespace

void emit_token(Emitter& e, LinearChunk& c) {
  const Token token = emit_token_features(e, c);
  const SourceScope part = e.part(plan::Part::kWeightsValues);
  if (c.key.linear.normalised) emit_token_sums(e, c, token);
  ChunkSizes sizes = c.value_chunks();
  sizes.dims = c.key.v_head_dim;
  for_chunks(e, "token_dims", sizes, [&](const Chunk& dims) {
    give_sums(e, c, e.index(0), dims, pass_over_state(e, c, token, dims));
    e.for_range("token_heads", e.index(1), c.item.heads, e.index(1),
                [&](Index head) { give_sums(e, c, head, dims, meet_state(e, c, head, dims)); });
  });
}

}  // namespace flexjit::codegen
