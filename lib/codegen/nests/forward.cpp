// The nest itself: work item -> spans -> key tiles -> micro-tiles.
#include "codegen/nests/forward.h"

#include <cstddef>

#include "codegen/emit/storage.h"
#include "codegen/parts/table_entry.h"
#include "plan/kernel_abi.h"

namespace flexjit::codegen {

using plan::Level;
using plan::TileArg;
using plan::Visit;

ForwardEmitter::ForwardEmitter(Emitter& e, const plan::KernelKey& key)
    : e_(e),
      key_(key),
      layout_(plan::layout_of(key)),
      scratch_(plan::scratch_of(key)),
      hoisting_(plan::hoist(key.program, key.nest)) {}

// careful = false; do { spans; careful = output; } while (careful);
void ForwardEmitter::emit() {
  item_.tile = e_.begin_function("attend", "tile");
  const SourceScope setup = e_.part(plan::Part::kSetup);
  load_item();
  expressions_.emplace(e_, key_.program, hoisting_, item_.launch);
  uniform_ = expressions_->uniform_scope(item_.indices);
  emit_units();
  emit_query_rows();
  emit_initial_state();
  emit_row_values();
  emit_row_ranges();
  e_.repeat("pass", [&](Bool again) {
    careful_ = again;
    emit_spans();
    return emit_output();
  });
  e_.end_function();
}

// for (s = 0; s < tile->span_count; ++s)
//   for (kv = spans[s].begin rounded down to a panel; kv < spans[s].end; kv += kv_tile)
//     key_tile(kv, min(kv_tile, spans[s].end - kv));
void ForwardEmitter::emit_spans() {
  const Index span_count = e_.widen(e_.load_int(e_.at_byte(item_.tile, offsetof(TileArg, span_count)), "span_count"));
  const Ptr spans = e_.load_pointer(e_.at_byte(item_.tile, offsetof(TileArg, spans)), "spans");
  const SourceScope loops = e_.part(plan::Part::kLoops);
  e_.for_range("span", e_.index(0), span_count, e_.index(1), [&](Index s) {
    const Ptr span = e_.at(spans, e_.mul(s, e_.index(sizeof(plan::SpanArg) / 4)));
    const Int begin = e_.load_int(span, "span.begin");
    const Int end = e_.load_int(e_.at_byte(span, offsetof(plan::SpanArg, end)), "span.end");
    const Int kind = e_.load_int(e_.at_byte(span, offsetof(plan::SpanArg, kind)), "span.kind");
    const auto is = [&](plan::SpanKind wanted) {
      return e_.compare(llvm::CmpInst::ICMP_EQ, kind, e_.constant_int(static_cast<std::int32_t>(wanted)));
    };
    KeyTile tile{.begin = begin,
                 .end = end,
                 .bounded = e_.logical_not(is(plan::SpanKind::kWhole)),
                 .masked = is(plan::SpanKind::kMasked)};
    const Int first = e_.bit_and(begin, e_.constant_int(-layout_.lanes));
    const Index kv_tile = e_.index(key_.tiling.kv_tile);
    const Index last = e_.widen(end);
    e_.for_range("key_tile", e_.widen(first), last, kv_tile, [&](Index kv) {
      tile.kv = kv;
      tile.count = e_.min(kv_tile, e_.sub(last, kv));
      emit_key_tile(tile);
    });
  });
}

void ForwardEmitter::load_item() {
  const Ptr tile = item_.tile;
  const auto int_at = [&](std::size_t offset, const char* name) {
    return e_.load_int(e_.at_byte(tile, static_cast<std::int64_t>(offset)), name);
  };
  const Ptr launch = e_.load_pointer(e_.at_byte(tile, offsetof(TileArg, launch)), "launch");
  item_.launch = load_launch(e_, launch);
  item_.indices = {int_at(offsetof(TileArg, b), "b"), int_at(offsetof(TileArg, h), "h"),
                   int_at(offsetof(TileArg, kv_head), "kv_head")};
  item_.b = e_.widen(item_.indices.b);
  item_.h = e_.widen(item_.indices.h);
  item_.q_begin = e_.widen(int_at(offsetof(TileArg, q_begin), "q_begin"));
  item_.q_count = e_.widen(int_at(offsetof(TileArg, q_count), "q_count"));
  item_.rows = e_.round_up(item_.q_count, key_.tiling.micro_rows);
  item_.q = load_rows(e_, launch, {offsetof(plan::LaunchArg, q), key_.types.q}, item_.b, item_.h);
  item_.out = load_rows(e_, launch, {offsetof(plan::LaunchArg, out), key_.types.out}, item_.b, item_.h);
  item_.k_panels = e_.load_pointer(e_.at_byte(tile, offsetof(TileArg, k_panels)), "k_panels");
  item_.v_rows = e_.load_pointer(e_.at_byte(tile, offsetof(TileArg, v_rows)), "v_rows");
  item_.v_stride = e_.load_index(e_.at_byte(tile, offsetof(TileArg, v_stride)), "v_stride");
  item_.fault = e_.load_pointer(e_.at_byte(tile, offsetof(TileArg, fault)), "fault");
  scratch_base_ = e_.load_pointer(e_.at_byte(tile, offsetof(TileArg, scratch)), "scratch");
}

// tables of the tile's columns and diagonals; which panels each group visits;
// for (i = 0; i < count; i += strip) for each group: if (begin + i < end) micro_tile at column begin + i, up to end;
// careful ? careful_values : { softmax; O += P V }
void ForwardEmitter::emit_key_tile(KeyTile tile) {
  const SourceScope part = e_.part(plan::Part::kLoops);
  const Bool columns_fine = emit_column_values(tile);
  const Bool diagonals_fine = emit_diagonal_values(tile);
  tile.fine = e_.logical_and(reads_fine_, e_.logical_and(columns_fine, diagonals_fine));
  emit_visits(tile);
  e_.for_range("strip", e_.index(0), tile.count, e_.index(layout_.strip), [&](Index offset) {
    for_each_group("group", [&](Index group, Index row) {
      const Index column = e_.add(visit_field(group, offsetof(Visit, begin)), offset);
      const Index end = visit_field(group, offsetof(Visit, end));
      e_.if_then("visited", e_.less(column, end), [&] {
        const Index panels = e_.low_bits(e_.min(e_.panel_of(e_.sub(end, column)), e_.index(key_.tiling.micro_vectors)));
        const auto bits = [&](std::size_t field) {
          return e_.bit_and(e_.lshr(visit_field(group, field), e_.panel_of(column)), panels);
        };
        emit_score_tile(tile, {.column = column,
                               .row = row,
                               .group = group,
                               .panels = panels,
                               .visited = bits(offsetof(Visit, visited)),
                               .whole = bits(offsetof(Visit, whole))});
      });
    });
  });
  e_.if_else(
      "careful", careful_, [&] { emit_careful_values(tile); },
      [&] {
        emit_softmax();
        emit_value_product(tile);
      });
}

// for (row = 0, group = 0; row < rows; row += micro_rows, ++group)
void ForwardEmitter::for_each_group(llvm::StringRef name, llvm::function_ref<void(Index group, Index row)> body) {
  const Index rows_of_group = e_.index(key_.tiling.micro_rows);
  e_.for_range(name, e_.index(0), item_.rows, rows_of_group, {e_.index(0).value}, [&](Index row, const Values& group) {
    body(Index{group[0]}, row);
    return Values{e_.add(Index{group[0]}, e_.index(1)).value};
  });
}

Ptr ForwardEmitter::real_at(std::int64_t section, Index row, std::int64_t row_reals, Index column) {
  return e_.at_real(e_.at_byte(scratch_base_, section), e_.add(e_.mul(row, e_.index(row_reals)), column));
}

Ptr ForwardEmitter::entry_at(std::int64_t section, std::int32_t slot, std::int64_t slot_entries, Index entry) {
  return e_.at(e_.at_byte(scratch_base_, section + slot * slot_entries * 4), entry);
}

Ptr ForwardEmitter::value_at(Level level, std::int32_t slot, Index at, std::int32_t width) {
  if (width != 1) at = e_.mul(at, e_.index(width));
  switch (level) {
    case Level::kRow: return entry_at(scratch_.row_values, slot, key_.tiling.q_tile, at);
    case Level::kColumn: return entry_at(scratch_.column_values, slot, key_.tiling.kv_tile, at);
    case Level::kDiagonal: return entry_at(scratch_.diagonal_values, slot, scratch_.diagonals, at);
    case Level::kUniform:
    case Level::kElement: break;
  }
  return {};
}

// A bool of one entry (rows) or one vector of entries (columns, diagonals).
llvm::Type* ForwardEmitter::shape_of(Level level) {
  llvm::Type* scalar = e_.ir().getInt1Ty();
  return level == Level::kRow ? scalar : llvm::FixedVectorType::get(scalar, static_cast<unsigned>(e_.lanes()));
}

// The stored values of `level`.
void ForwardEmitter::load_values(Scope& scope, Level level, Index at) {
  for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
    const auto slot = hoisting_.value_slot[i];
    if (hoisting_.level[i] != level || slot < 0) continue;
    const Ptr address = value_at(level, slot, at, plan::width_of(key_.program, ir::Id{i}));
    scope.value[i] = from_entry(e_, address, key_.program.nodes()[i].type, shape_of(level));
  }
}

// Which of its checked reads are in range.
void ForwardEmitter::load_flags(Scope& scope, Level level, Index at) {
  for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
    const auto slot = hoisting_.flag_slot[i];
    if (hoisting_.level[i] != level || slot < 0) continue;
    scope.flag[i] = from_entry(e_, value_at(level, slot, at, 1), ir::Type::kBool, shape_of(level));
  }
}

}  // namespace flexjit::codegen
