// The decode nest itself: work item -> spans -> key steps; and what its levels share.
#include "codegen/nests/decode.h"

#include <algorithm>
#include <cstddef>

#include "codegen/emit/storage.h"
#include "plan/kernel_abi.h"

namespace flexjit::codegen {

using plan::DecodeArg;

DecodeEmitter::DecodeEmitter(Emitter& e, const plan::KernelKey& key)
    : e_(e),
      key_(key),
      layout_(plan::layout_of(key)),
      scratch_(plan::decode_scratch_of(key)),
      hoisting_(plan::hoist(key.program, key.nest)),
      pairs_(plan::arithmetic_of(key.types, key.target) == plan::Arithmetic::kBF16) {}

// careful = false; do { spans; careful = state; } while (careful);
void DecodeEmitter::emit() {
  const Ptr arg = e_.begin_function("decode", "item");
  const SourceScope setup = e_.part(plan::Part::kSetup);
  load_item(arg);
  if (pairs_) scale_ = split_scale(e_, item_.launch.scale);
  expressions_.emplace(e_, key_.program, hoisting_, item_.launch);
  uniform_ = expressions_->uniform_scope(item_.indices);
  emit_query_rows();
  emit_initial_state();
  emit_row_values();
  e_.repeat("pass", [&](Bool again) {
    careful_ = again;
    emit_spans(arg);
    return emit_state();
  });
  e_.end_function();
}

// for (s = 0; s < arg->span_count; ++s)
//   for (kv = spans[s].begin rounded down to a step; kv < spans[s].end; kv += kv_tile)
//     key_step({kv, max(kv, spans[s].begin), min(kv + kv_tile, spans[s].end)});
void DecodeEmitter::emit_spans(Ptr arg) {
  const Index span_count = e_.widen(e_.load_int(e_.at_byte(arg, offsetof(DecodeArg, span_count)), "span_count"));
  const Ptr spans = e_.load_pointer(e_.at_byte(arg, offsetof(DecodeArg, spans)), "spans");
  const SourceScope loops = e_.part(plan::Part::kLoops);
  e_.for_range("span", e_.index(0), span_count, e_.index(1), [&](Index s) {
    const Ptr span = e_.at(spans, e_.mul(s, e_.index(sizeof(plan::SpanArg) / 4)));
    const Int begin = e_.load_int(span, "span.begin");
    const Index end = e_.widen(e_.load_int(e_.at_byte(span, offsetof(plan::SpanArg, end)), "span.end"));
    const Int kind = e_.load_int(e_.at_byte(span, offsetof(plan::SpanArg, kind)), "span.kind");
    const Index step = e_.index(key_.tiling.kv_tile);
    const Index first = e_.widen(begin);
    const Bool is_masked =
        e_.compare(llvm::CmpInst::ICMP_EQ, kind, e_.constant_int(static_cast<std::int32_t>(plan::SpanKind::kMasked)));
    e_.for_range("key_step", e_.widen(e_.bit_and(begin, e_.constant_int(-key_.tiling.kv_tile))), end, step, [&](Index kv) {
      const Index from{e_.ir().CreateBinaryIntrinsic(llvm::Intrinsic::smax, kv.value, first.value)};
      emit_key_step({kv, from, e_.min(e_.add(kv, step), end), is_masked});
    });
  });
}

void DecodeEmitter::load_item(Ptr arg) {
  const auto int_at = [&](std::size_t offset, const char* name) {
    return e_.load_int(e_.at_byte(arg, static_cast<std::int64_t>(offset)), name);
  };
  const auto pointer_at = [&](std::size_t offset, const char* name) {
    return e_.load_pointer(e_.at_byte(arg, static_cast<std::int64_t>(offset)), name);
  };
  item_.launch = load_launch(e_, pointer_at(offsetof(DecodeArg, launch), "launch"));
  item_.indices = {int_at(offsetof(DecodeArg, b), "b"), Int{}, int_at(offsetof(DecodeArg, kv_head), "kv_head")};
  item_.b = e_.widen(item_.indices.b);
  item_.kv_head = e_.widen(item_.indices.kv_head);
  item_.row_begin = e_.widen(int_at(offsetof(DecodeArg, row_begin), "row_begin"));
  item_.rows = e_.widen(int_at(offsetof(DecodeArg, row_count), "row_count"));
  item_.group = int_at(offsetof(DecodeArg, group), "group");
  item_.k = load_rows(e_, item_.launch.launch, {offsetof(plan::LaunchArg, k), key_.types.kv}, item_.b, item_.kv_head);
  item_.v = load_rows(e_, item_.launch.launch, {offsetof(plan::LaunchArg, v), key_.types.kv}, item_.b, item_.kv_head);
  item_.o = pointer_at(offsetof(DecodeArg, o), "o");
  item_.max = pointer_at(offsetof(DecodeArg, max), "max");
  item_.sum = pointer_at(offsetof(DecodeArg, sum), "sum");
  item_.scale = pointer_at(offsetof(DecodeArg, scale), "scale");
  item_.fault = pointer_at(offsetof(DecodeArg, fault), "fault");
  scratch_base_ = pointer_at(offsetof(DecodeArg, scratch), "scratch");
}

void DecodeEmitter::emit_key_step(const Step& step) {
  emit_column_values(step.kv);
  emit_scores(step);
  emit_weights(step);
  e_.if_else("careful", careful_, [&] { emit_careful_values(step); }, [&] { emit_values(step); });
}

// for (row = 0; row < (rows & -micro_rows); row += micro_rows) body(row, micro_rows);
// if (rows & n) body(rows & -2n, n) for n = micro_rows / 2, ..., 1
void DecodeEmitter::for_row_chunks(llvm::StringRef name, llvm::function_ref<void(Index, int)> body) {
  auto& ir = e_.ir();
  const int most = key_.tiling.micro_rows;
  const auto masked = [&](std::int64_t mask) { return Index{ir.CreateAnd(item_.rows.value, e_.index(mask).value)}; };
  e_.for_range(name, e_.index(0), masked(-most), e_.index(most), [&](Index row) { body(row, most); });
  for (int count = most / 2; count > 0; count /= 2) {
    e_.if_then(name, Bool{ir.CreateIsNotNull(masked(count).value)}, [&] { body(masked(-2 * count), count); });
  }
}

// How far prefetching runs ahead of the reads: about as many bytes whatever the row, and at least a step.
std::int64_t DecodeEmitter::rows_ahead(std::int64_t row_bytes) const {
  constexpr std::int64_t kBytesAhead = 8192;
  return std::clamp<std::int64_t>(kBytesAhead / row_bytes, key_.tiling.kv_tile, 4 * key_.tiling.kv_tile);
}

llvm::Value* DecodeEmitter::load_first(Ptr address, DType dtype, int width, int count) {
  auto& ir = e_.ir();
  auto* type = llvm::FixedVectorType::get(storage_type(e_, dtype), static_cast<unsigned>(width));
  const llvm::Align alignment(size_of(dtype));
  if (count == width) return ir.CreateAlignedLoad(type, address.value, alignment);
  llvm::SmallVector<llvm::Constant*, 32> lanes;
  for (int i = 0; i < width; ++i) lanes.push_back(ir.getInt1(i < count));
  return ir.CreateMaskedLoad(type, address.value, alignment, llvm::ConstantVector::get(lanes),
                             llvm::Constant::getNullValue(type));
}

Ptr DecodeEmitter::scratch_at(std::int64_t section, Index row, std::int64_t row_elements, Index column) {
  return e_.at(e_.at_byte(scratch_base_, section), e_.add(e_.mul(row, e_.index(row_elements)), column));
}

}  // namespace flexjit::codegen
