// The work items of kernel_abi.h -> values: what each nest loads at entry, and the spans of keys that it then visits.
#pragma once

#include "codegen/emit/launch_fields.h"
#include "codegen/program/expression.h"
#include "plan/kernel_abi.h"
#include "plan/kernel_key.h"

namespace flexjit::codegen {

// Of plan::TileArg.
struct PrefillItem {
  ItemIndices indices;
  LaunchFields launch;
  Rows q, out;
  Index b, h, q_begin, q_count, rows;  // rows: q_count rounded up to micro_rows
  Ptr k_panels, v_rows, fault, scratch;
  Index v_stride;
};
PrefillItem load_prefill_item(Emitter& e, const plan::KernelKey& key, Ptr arg);

// Of plan::DecodeArg.
struct DecodeItem {
  LaunchFields launch;
  ItemIndices indices;  // h is empty: it varies by row
  Index b, kv_head, row_begin, rows;
  Int group;
  Rows k, v;  // of (b, kv_head)
  Ptr o, max, sum, scale, fault, scratch;
};
DecodeItem load_decode_item(Emitter& e, const plan::KernelKey& key, Ptr arg);
Index head_of(Emitter& e, const DecodeItem& item, Index row);
Index query_of(Emitter& e, const DecodeItem& item, Index row);

struct Span {
  Ptr arg;
  Int begin, end;

  Int load_kind(Emitter& e) const { return e.load_int(e.at_byte(arg, offsetof(plan::SpanArg, kind)), "span.kind"); }
};
Bool is_kind(Emitter& e, Int kind, plan::SpanKind wanted);
// Offsets of span_count and spans in the item's argument.
struct SpanFields {
  std::size_t count, spans;
};
// for (s = 0; s < arg->span_count; ++s) body(arg->spans[s])
void for_spans(Emitter& e, Ptr arg, SpanFields fields, llvm::function_ref<void(const Span&)> body);

}  // namespace flexjit::codegen
