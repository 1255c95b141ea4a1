// The work items of kernel_abi.h -> values: what each nest loads at entry, and the spans of keys that it then visits.
#pragma once

#include "codegen/emit/launch_fields.h"
#include "codegen/program/expression.h"
#include "plan/kernel_abi.h"
#include "plan/kernel_key.h"

namespace flexjit::codegen {

// plan::QueryRow by row of an item.
struct QueryRowFields {
  Ptr rows;

  Ptr pointer(Emitter& e, Index row, std::size_t offset) const { return e.load_pointer(at(e, row, offset)); }
  Int integer(Emitter& e, Index row, std::size_t offset) const { return e.load_int(at(e, row, offset)); }

 private:
  Ptr at(Emitter& e, Index row, std::size_t offset) const {
    return e.at_byte(e.at(rows, e.mul(row, e.index(sizeof(plan::QueryRow) / 4))), static_cast<std::int64_t>(offset));
  }
};

// A tile of query rows of one head, whatever is done with it.
struct TileItem {
  ItemIndices indices;
  LaunchFields launch;
  Index h, q_begin, q_count, rows;  // rows: q_count rounded up to micro_rows
  Ptr fault, scratch;
};
// Where the fields of a tile's argument lie that do not lie where plan::TileArg has them.
struct TileFields {
  std::size_t scratch, fault;
};
TileItem load_tile_item(Emitter& e, const plan::KernelKey& key, Ptr arg, TileFields fields);

// Of plan::TileArg.
struct PrefillItem : TileItem {
  QueryRowFields queries;
  Index q_ahead;  // bytes
  Ptr k_panels, v_rows;
  Index v_stride;
};
PrefillItem load_prefill_item(Emitter& e, const plan::KernelKey& key, Ptr arg);

// Of plan::DecodeArg.
struct DecodeItem {
  LaunchFields launch;
  ItemIndices indices;  // h is empty: it varies by row
  QueryRowFields queries;
  Index rows;
  Ptr runs, o, max, sum, scale, fault, scratch;
  Bool begins, ends;
};
DecodeItem load_decode_item(Emitter& e, Ptr arg);

struct Span {
  Ptr arg;
  Int begin, end;

  Int load_kind(Emitter& e) const { return e.load_int(e.at_byte(arg, offsetof(plan::SpanArg, kind)), "span.kind"); }
  Int load_run(Emitter& e) const { return e.load_int(e.at_byte(arg, offsetof(plan::SpanArg, run)), "span.run"); }
};
Bool is_kind(Emitter& e, Int kind, plan::SpanKind wanted);
// Offsets of span_count and spans in the item's argument.
struct SpanFields {
  std::size_t count, spans;
};
struct SpanList {
  Index count;
  Ptr spans;
};
SpanList load_spans(Emitter& e, Ptr arg, SpanFields fields);
// for (s = 0; s < count; ++s) body(spans[s])
void for_spans(Emitter& e, const SpanList& list, llvm::function_ref<void(const Span&)> body);
inline void for_spans(Emitter& e, Ptr arg, SpanFields fields, llvm::function_ref<void(const Span&)> body) {
  for_spans(e, load_spans(e, arg, fields), body);
}

}  // namespace flexjit::codegen
