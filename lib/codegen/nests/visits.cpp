// Which panels of a key tile each group of rows visits, and in which of them every pair is allowed: the second level of the
// block mask, found by the kernel itself. A visit (plan/scratch.h) is two bit masks over panels and the columns that they span.
#include <llvm/IR/Intrinsics.h>

#include <cstddef>
#include <limits>

#include "codegen/nests/forward.h"
#include "codegen/parts/table_entry.h"

namespace flexjit::codegen {
namespace {

using ir::Id;
using ir::Op;
using plan::Level;
using plan::Visit;

Index count_zeros(Emitter& e, llvm::Intrinsic::ID direction, Index bits) {
  return {e.ir().CreateBinaryIntrinsic(direction, bits.value, e.ir().getInt1(false))};
}

}  // namespace

// for each group:
//   if (tile is not bounded) visited = panels of count; whole = fine ? visited : 0;
//   else masked_visit(group)
void ForwardEmitter::emit_visits(const KeyTile& tile) {
  const SourceScope part = e_.part(plan::Part::kVisits);
  e_.if_else(
      "bounded", tile.bounded, [&] { for_each_group("visit", [&](Index group, Index) { emit_masked_visit(tile, group); }); },
      [&] {
        // The count of a whole span is a multiple of the panel.
        const Index visited = e_.low_bits(e_.panel_of(tile.count));
        const Index whole = e_.select(tile.fine, visited, e_.index(0));
        for_each_group("visit_all", [&](Index group, Index) { store_visit(group, visited, whole); });
      });
}

// for (p = 0; p < panels of count; ++p):
//   inside = panel overlaps [begin, end); visited |= inside && (!fine || !masked || mask may be true somewhere) << p;
//   whole |= panel lies in [begin, end) && fine && (!masked || mask is true everywhere) << p;
void ForwardEmitter::emit_masked_visit(const KeyTile& tile, Index group) {
  const Index panels = e_.panel_of(e_.round_up(tile.count, e_.lanes()));
  const Index begin = e_.widen(tile.begin), end = e_.widen(tile.end);
  const Values bits = e_.for_range("visit.panel", e_.index(0), panels, e_.index(1), {e_.index(0).value, e_.index(0).value},
                                   [&](Index panel, const Values& so_far) {
                                     const Index first = e_.add(tile.kv, e_.mul(panel, e_.index(e_.lanes())));
                                     const Index next = e_.add(first, e_.index(e_.lanes()));
                                     const Choice mask = panel_mask(tile, group, panel);
                                     const Bool open = e_.logical_not(tile.masked);
                                     const Bool some = e_.logical_or(open, mask.some), all = e_.logical_or(open, mask.all);
                                     const Bool overlaps = e_.logical_and(e_.less(first, end), e_.less(begin, next));
                                     const Bool outside = e_.logical_or(e_.less(first, begin), e_.less(end, next));
                                     const Bool visited =
                                         e_.logical_and(overlaps, e_.logical_or(e_.logical_not(tile.fine), some));
                                     const Bool whole = e_.logical_and(e_.logical_not(outside), e_.logical_and(tile.fine, all));
                                     const auto with = [&](llvm::Value* old, Bool bit) {
                                       return e_.bit_or(Index{old}, e_.shl(e_.widen_bool(bit), panel)).value;
                                     };
                                     return Values{with(so_far[0], visited), with(so_far[1], whole)};
                                   });
  store_visit(group, Index{bits[0]}, Index{bits[1]});
  emit_holes(group, Index{bits[0]});
}

// visits[group] = {visited, whole, begin = lanes * first panel, end = lanes * (last panel + 1)}; begin = end = 0 for none;
// first = begin, after = end until the epilogue knows better
void ForwardEmitter::store_visit(Index group, Index visited, Index whole) {
  const Index lanes = e_.index(e_.lanes());
  const Bool none = e_.equal(visited, e_.index(0));
  const Index first = e_.mul(count_zeros(e_, llvm::Intrinsic::cttz, visited), lanes);
  const Index after = e_.mul(e_.sub(e_.index(64), count_zeros(e_, llvm::Intrinsic::ctlz, visited)), lanes);
  const Index begin = e_.select(none, e_.index(0), first);
  const auto store = [&](std::size_t field, Index value) { e_.store(value.value, visit_at(group, field), 8); };
  store(offsetof(Visit, visited), visited);
  store(offsetof(Visit, whole), whole);
  store(offsetof(Visit, begin), begin);
  store(offsetof(Visit, end), after);
  store(offsetof(Visit, first), begin);
  store(offsetof(Visit, after), after);
}

// Of the panel at `column`, any row of the group allows the lanes of `allowed`.
// if (column == begin) first = column + lowest set lane, or lanes;
// if (column + lanes == end) after = column + highest set lane + 1;
void ForwardEmitter::narrow_visit(Index group, Index column, Index allowed) {
  const Index next = e_.add(column, e_.index(e_.lanes()));
  e_.if_then("first_panel", e_.equal(column, visit_field(group, offsetof(Visit, begin))), [&] {
    const Index lane = e_.min(count_zeros(e_, llvm::Intrinsic::cttz, allowed), e_.index(e_.lanes()));
    e_.store(e_.add(column, lane).value, visit_at(group, offsetof(Visit, first)), 8);
  });
  e_.if_then("last_panel", e_.equal(next, visit_field(group, offsetof(Visit, end))), [&] {
    const Index lanes = e_.sub(e_.index(64), count_zeros(e_, llvm::Intrinsic::ctlz, allowed));
    e_.store(e_.add(column, lanes).value, visit_at(group, offsetof(Visit, after)), 8);
  });
}

Ptr ForwardEmitter::visit_at(Index group, std::size_t field) {
  const Ptr visit = e_.at(e_.at_byte(scratch_base_, scratch_.visits), e_.mul(group, e_.index(sizeof(Visit) / 4)));
  return e_.at_byte(visit, static_cast<std::int64_t>(field));
}

Index ForwardEmitter::visit_field(Index group, std::size_t field) { return e_.load_index(visit_at(group, field)); }

// A panel that is skipped between two that are not: its scores count as masked.
// if (visited has a hole) for (r) for (c = begin; c < end; c += lanes) S[r][c..] = -inf;
void ForwardEmitter::emit_holes(Index group, Index visited) {
  const Index from_first = e_.lshr(visited, e_.bit_and(count_zeros(e_, llvm::Intrinsic::cttz, visited), e_.index(63)));
  const Index hole = e_.bit_and(from_first, e_.add(from_first, e_.index(1)));
  e_.if_then("holes", e_.logical_not(e_.equal(hole, e_.index(0))), [&] {
    const Index row = e_.mul(group, e_.index(key_.tiling.micro_rows));
    const Float masked = e_.broadcast(e_.real(-std::numeric_limits<double>::infinity()));
    e_.for_range("holes.row", row, e_.add(row, e_.index(key_.tiling.micro_rows)), e_.index(1), [&](Index r) {
      e_.for_range("holes.panel", visit_field(group, offsetof(Visit, begin)), visit_field(group, offsetof(Visit, end)),
                   e_.index(e_.lanes()), [&](Index column) { e_.store(masked.value, score_at(r, column), vector_bytes()); });
    });
  });
}

// The mask over the rows of `group` (those that exist) and the columns of `panel`.
Choice ForwardEmitter::panel_mask(const KeyTile& tile, Index group, Index panel) {
  const ir::Program& program = key_.program;
  RangeEmitter ranges(e_, program);
  const Index row = e_.mul(group, e_.index(key_.tiling.micro_rows));
  const Index last_row = e_.min(e_.add(row, e_.index(key_.tiling.micro_rows - 1)), e_.sub(item_.q_count, e_.index(1)));
  const Index column = e_.add(tile.kv, e_.mul(panel, e_.index(e_.lanes())));
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const Id id{i};
    if (!hoisting_.in_mask[i]) continue;
    const ir::Node& node = program.node(id);
    if (node.op == Op::kQIdx) ranges.set(id, Range{e_.add(item_.q_begin, row), e_.add(item_.q_begin, last_row)});
    if (node.op == Op::kKvIdx) ranges.set(id, Range{column, e_.add(column, e_.index(e_.lanes() - 1))});
    if (hoisting_.level[i] == Level::kUniform && node.op != Op::kConst) ranges.set_uniform(id, uniform_.value[i]);
    const std::int32_t slot = hoisting_.range_slot[i];
    if (slot < 0) continue;
    const bool of_rows = hoisting_.level[i] == Level::kRow;
    const std::int32_t width = plan::width_of(program, id);
    const Index entry = e_.mul(of_rows ? group : panel, e_.index(2 * width));
    const std::int64_t entries = 2 * (of_rows ? groups() : key_.tiling.kv_tile / e_.lanes());
    const Ptr at = entry_at(of_rows ? scratch_.row_ranges : scratch_.column_ranges, slot, entries, entry);
    const auto end = [&](Ptr address) { return width == 2 ? e_.load_long(address) : e_.load_int(address); };
    const Int least = end(at), greatest = end(e_.at_byte(at, 4 * width));
    if (ir::is_int(node.type)) {
      ranges.set(id, Range{e_.widen(least), e_.widen(greatest)});
    } else {  // entries are 0 and -1
      const auto is_set = [&](Int entry_bits) { return e_.compare(llvm::CmpInst::ICMP_NE, entry_bits, e_.constant_int(0)); };
      ranges.set(id, Choice{is_set(least), is_set(greatest)});
    }
  }
  return ranges.mask();
}

// for each group: row_ranges[slot][group] = {min, max} of row_values[slot][row .. row + micro_rows)
void ForwardEmitter::emit_row_ranges() {
  const SourceScope part = e_.part(plan::Part::kVisits);
  if (hoisting_.row_range_slots == 0) return;
  auto& ir = e_.ir();
  for_each_group("row_ranges", [&](Index group, Index row) {
    for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
      const std::int32_t slot = hoisting_.range_slot[i];
      if (slot < 0 || hoisting_.level[i] != Level::kRow) continue;
      const std::int32_t width = plan::width_of(key_.program, Id{i});
      llvm::Value *least = nullptr, *greatest = nullptr;
      for (int r = 0; r < key_.tiling.micro_rows; ++r) {
        const Ptr from = value_at(Level::kRow, hoisting_.value_slot[i], e_.add(row, e_.index(r)), width);
        llvm::Value* value = (width == 2 ? e_.load_long(from) : e_.load_int(from)).value;
        least = least == nullptr ? value : ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, least, value);
        greatest = greatest == nullptr ? value : ir.CreateBinaryIntrinsic(llvm::Intrinsic::smax, greatest, value);
      }
      const Ptr at = entry_at(scratch_.row_ranges, slot, 2 * groups(), e_.mul(group, e_.index(2 * width)));
      e_.store(least, at);
      e_.store(greatest, e_.at_byte(at, 4 * width));
    }
  });
}

// column_ranges[slot][panel] = {min, max} of the panel's column values; columns past the lengths only widen it
void ForwardEmitter::store_column_ranges(const Scope& scope, Index panel) {
  auto& ir = e_.ir();
  for (std::uint32_t i = 0; i < key_.program.size(); ++i) {
    const std::int32_t slot = hoisting_.range_slot[i];
    if (slot < 0 || hoisting_.level[i] != Level::kColumn) continue;
    llvm::Value* lanes = to_entry(e_, scope.value[i]);
    const std::int32_t width = plan::width_of(key_.program, Id{i});
    const std::int64_t entries = 2 * (key_.tiling.kv_tile / e_.lanes());
    const Ptr at = entry_at(scratch_.column_ranges, slot, entries, e_.mul(panel, e_.index(2 * width)));
    e_.store(ir.CreateIntMinReduce(lanes, true), at);
    e_.store(ir.CreateIntMaxReduce(lanes, true), e_.at_byte(at, 4 * width));
  }
}

}  // namespace flexjit::codegen
