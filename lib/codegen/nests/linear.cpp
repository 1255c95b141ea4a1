// One step of linear weights for one KernelKey: the functions `linear_step` and `linear_token` of kernel_abi.h. Time and memory
// of a sequence are linear in its length: what was before a chunk of keys is in a state. The nest, outermost first:
//
//   for panel of keys:                         which are kept, K^T, features
//   for head that shares the keys:
//     for tile of rows:                        features of queries
//     for panel of keys, tile of rows:         A = phi(Q) phi(K)^T in registers, gates and the triangle in its epilogue
//     for chunk of value dims, tile of rows:   O = phi(Q) S + A V in registers, normalised
//   for chunk of value dims, tile of features: S = fade * S + phi(K)^T V in registers; sums of features
#include "codegen/linear/chunk.h"
#include "codegen/nests/nests.h"

namespace flexjit::codegen {

namespace {

void emit_linear_step(Emitter& e, const plan::KernelKey& key) {
  const Ptr arg = e.begin_function("linear_step", "step");
  const SourceScope setup = e.part(plan::Part::kSetup);
  LinearChunk c(e, key, load_linear_item(e, arg));
  e.if_then("keys", c.has_keys, [&] {
    emit_keys(e, c);
    if (c.has_gates) emit_gates(e, c);
  });
  e.if_then("queries", e.less(e.index(0), c.item.q_count), [&] {
    e.for_range("head", e.index(0), c.item.heads, e.index(1), [&](Index head) {
      emit_queries(e, c, head);
      e.if_then("own_keys", c.has_keys, [&] { emit_chunk_weights(e, c); });
      emit_outputs(e, c, head);
    });
  });
  e.if_then("state", c.has_keys, [&] { emit_state(e, c); });
  e.end_function();
}

// The same of one key and one query of each head: what decoding calls.
void emit_linear_token(Emitter& e, const plan::KernelKey& key) {
  const Ptr arg = e.begin_function("linear_token", "step");
  const SourceScope setup = e.part(plan::Part::kSetup);
  LinearChunk c(e, key, load_linear_item(e, arg));
  emit_token(e, c);
  e.end_function();
}

}  // namespace

void emit_linear(Emitter& e, const plan::KernelKey& key) {
  emit_linear_step(e, key);
  emit_linear_token(e, key);
}

}  // namespace flexjit::codegen
