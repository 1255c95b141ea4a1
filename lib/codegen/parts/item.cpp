// Field offsets of kernel_abi.h's arguments -> loads in the entry block.
#include "codegen/parts/item.h"

#include <cstddef>

namespace flexjit::codegen {

using plan::DecodeArg;
using plan::TileArg;

TileItem load_tile_item(Emitter& e, const plan::KernelKey& key, Ptr arg, TileFields fields) {
  const ArgFields tile{e, arg};
  TileItem item;
  item.launch = load_launch(
      e, arg, {offsetof(TileArg, q_len), offsetof(TileArg, kv_len), offsetof(TileArg, q_offset), offsetof(TileArg, kv_offset)});
  item.indices = {tile.integer(offsetof(TileArg, b), "b"), tile.integer(offsetof(TileArg, h), "h"),
                  tile.integer(offsetof(TileArg, kv_head), "kv_head")};
  item.h = e.widen(item.indices.h);
  item.q_begin = tile.index(offsetof(TileArg, q_begin), "q_begin");
  item.q_count = tile.index(offsetof(TileArg, q_count), "q_count");
  item.rows = e.round_up(item.q_count, key.tiling.micro_rows);
  item.fault = tile.pointer(fields.fault, "fault");
  item.scratch = tile.pointer(fields.scratch, "scratch");
  return item;
}

PrefillItem load_prefill_item(Emitter& e, const plan::KernelKey& key, Ptr arg) {
  const ArgFields tile{e, arg};
  PrefillItem item;
  static_cast<TileItem&>(item) = load_tile_item(e, key, arg, {offsetof(TileArg, scratch), offsetof(TileArg, fault)});
  item.queries.rows = tile.pointer(offsetof(TileArg, rows), "rows");
  item.q_ahead = tile.long_index(offsetof(TileArg, q_ahead), "q_ahead");
  item.k_panels = tile.pointer(offsetof(TileArg, k_panels), "k_panels");
  item.v_rows = tile.pointer(offsetof(TileArg, v_rows), "v_rows");
  item.v_stride = tile.long_index(offsetof(TileArg, v_stride), "v_stride");
  return item;
}

DecodeItem load_decode_item(Emitter& e, Ptr arg) {
  const ArgFields fields{e, arg};
  DecodeItem item;
  item.queries.rows = fields.pointer(offsetof(DecodeArg, rows), "rows");
  item.launch = load_launch(
      e, arg,
      {offsetof(DecodeArg, q_len), offsetof(DecodeArg, kv_len), offsetof(DecodeArg, q_offset), offsetof(DecodeArg, kv_offset)});
  item.indices = {fields.integer(offsetof(DecodeArg, b), "b"), Int{}, fields.integer(offsetof(DecodeArg, kv_head), "kv_head")};
  item.rows = fields.index(offsetof(DecodeArg, row_count), "row_count");
  item.runs = fields.pointer(offsetof(DecodeArg, runs), "runs");
  item.o = fields.pointer(offsetof(DecodeArg, o), "o");
  item.max = fields.pointer(offsetof(DecodeArg, max), "max");
  item.sum = fields.pointer(offsetof(DecodeArg, sum), "sum");
  item.scale = fields.pointer(offsetof(DecodeArg, scale), "scale");
  item.fault = fields.pointer(offsetof(DecodeArg, fault), "fault");
  item.scratch = fields.pointer(offsetof(DecodeArg, scratch), "scratch");
  const auto flag = [&](std::size_t offset, const char* name) {
    return e.compare(llvm::CmpInst::ICMP_NE, fields.integer(offset, name), e.constant_int(0));
  };
  item.begins = flag(offsetof(DecodeArg, begins), "begins");
  item.ends = flag(offsetof(DecodeArg, ends), "ends");
  return item;
}

Bool is_kind(Emitter& e, Int kind, plan::SpanKind wanted) {
  return e.compare(llvm::CmpInst::ICMP_EQ, kind, e.constant_int(static_cast<std::int32_t>(wanted)));
}

SpanList load_spans(Emitter& e, Ptr arg, SpanFields fields) {
  const ArgFields item{e, arg};
  return {item.index(fields.count, "span_count"), item.pointer(fields.spans, "spans")};
}

void for_spans(Emitter& e, const SpanList& list, llvm::function_ref<void(const Span&)> body) {
  const SourceScope loops = e.part(plan::Part::kLoops);
  e.for_range("span", e.index(0), list.count, e.index(1), [&](Index s) {
    const Ptr span = e.at(list.spans, e.mul(s, e.index(sizeof(plan::SpanArg) / 4)));
    const Int begin = e.load_int(span, "span.begin");
    body({span, begin, e.load_int(e.at_byte(span, offsetof(plan::SpanArg, end)), "span.end")});
  });
}

}  // namespace flexjit::codegen
