// Few query rows against long keys, for one KernelKey: the function `decode` of kernel_abi.h. K and V are read once, as they
// lie, for all query heads that share them; reading them is what the time goes to. The nest, outermost first:
//
//   for span in spans:                          skip what the block mask proved empty
//     for key step of kv_tile columns:
//       for 4 keys, for up to micro_rows rows:  S = Q K^T in registers, lanes along head_dim; prefetch of K
//       for row:                                score_mod and mask_mod, running maximum, weights
//       for up to micro_rows rows:              O += P V in registers, lanes along value dims; prefetch of V
//
// and once more, carefully (parts/careful.h), for rows whose output is not finite.
#include <cstddef>

#include "codegen/decode/row_block.h"
#include "codegen/nests/nests.h"

namespace flexjit::codegen {

using plan::DecodeArg;

// if (begins) { queries; states = none; } careful = false; do { careful ? all spans : spans; careful = states; } while
// (careful); One function, so that the loops are seen at once.
void emit_decode(Emitter& e, const plan::KernelKey& key) {
  const Ptr arg = e.begin_function("decode", "item");
  const SourceScope setup = e.part(plan::Part::kSetup);
  RowBlock b{e, key, load_decode_item(e, arg)};
  e.if_then("begins", b.item.begins, [&] {
    emit_query_rows(e, key, b.item, b.q, b.units.query);
    emit_initial_state(e, b);
    fill_row_table(e, b);
  });
  e.repeat("pass", [&](Bool careful) {
    const SpanList spans = load_spans(e, arg, {offsetof(DecodeArg, span_count), offsetof(DecodeArg, spans)});
    const SpanList all = load_spans(e, arg, {offsetof(DecodeArg, all_span_count), offsetof(DecodeArg, all_spans)});
    const SpanList of_pass{e.select(careful, all.count, spans.count), e.select(careful, all.spans, spans.spans)};
    for_spans(e, of_pass, [&](const Span& span) {
      for_key_steps(e, b, span, [&](const KeyStep& step) {
        b.tables.fill_columns(step.kv, e.index(key.tiling.kv_tile), Bool{});
        emit_rows_of_step(e, b, step);
        if (b.has_row_scales) emit_row_scales(e, b, step);
        for_keys(e, b, step, [&](const Keys& keys) { emit_key_products(e, b, step, keys); });
        emit_weights(e, b, step, careful);
        e.if_else("careful", careful, [&] { emit_careful_values(e, b, step); }, [&] { emit_values(e, b, step); });
      });
    });
    return emit_states(e, b, careful);
  });
  e.end_function();
}

}  // namespace flexjit::codegen
