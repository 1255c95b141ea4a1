// Which panels of a key tile each group of rows visits, and in which of them every pair is allowed: the second level of the
// block mask, found by the kernel itself. A visit (plan/sizes/scratch.h) is two bit masks over panels and the columns that they
// span.
#include <llvm/IR/Intrinsics.h>

#include <cstddef>

#include "codegen/parts/pair_tile.h"
#include "codegen/program/range.h"

namespace flexjit::codegen {
namespace {

using ir::Id;
using ir::Op;
using plan::Level;
using plan::Visit;

Index count_zeros(Emitter& e, llvm::Intrinsic::ID direction, Index bits) {
  return {e.ir().CreateBinaryIntrinsic(direction, bits.value, e.ir().getInt1(false))};
}

Ptr visit_at(Emitter& e, PairTile& t, Index group, std::size_t field) {
  const Ptr visit = e.at(e.at_byte(t.item.scratch, t.sections.visits), e.mul(group, e.index(sizeof(Visit) / 4)));
  return e.at_byte(visit, static_cast<std::int64_t>(field));
}

// Columns.
struct Reach {
  Index begin, end;
};

// Where the least and the greatest value of a node lie, of the group (row values) or panel (column values) `place`.
Ptr range_at(Emitter& e, PairTile& t, Id id, Index place) {
  const bool of_rows = t.tables.hoisting.level[id.index] == Level::kRow;
  const auto& tiling = t.key.tiling;
  const std::int64_t places = of_rows ? tiling.q_tile / tiling.micro_rows : tiling.kv_tile / e.lanes();
  const Index entry = e.mul(place, e.index(2 * plan::width_of(t.tables.program, id)));
  const std::int64_t section = of_rows ? t.sections.row_ranges : t.sections.column_ranges;
  return e.at(e.at_byte(t.item.scratch, section + t.tables.hoisting.range_slot[id.index] * 2 * places * 4), entry);
}

Int load_end(Emitter& e, Ptr address, std::int32_t width) { return width == 2 ? e.load_long(address) : e.load_int(address); }

// visits[group] = {visited, whole, begin = lanes * first panel, end = lanes * (last panel + 1)}; begin = end = 0 for none;
// first = begin, after = end until the epilogue knows better
void store_visit(Emitter& e, PairTile& t, Index group, Index visited, Index whole) {
  const Index lanes = e.index(e.lanes());
  const Bool none = e.equal(visited, e.index(0));
  const Index first = e.mul(count_zeros(e, llvm::Intrinsic::cttz, visited), lanes);
  const Index after = e.mul(e.sub(e.index(64), count_zeros(e, llvm::Intrinsic::ctlz, visited)), lanes);
  const Index begin = e.select(none, e.index(0), first);
  const auto store = [&](std::size_t field, Index value) { e.store(value.value, visit_at(e, t, group, field), 8); };
  store(offsetof(Visit, visited), visited);
  store(offsetof(Visit, whole), whole);
  store(offsetof(Visit, begin), begin);
  store(offsetof(Visit, end), after);
  store(offsetof(Visit, first), begin);
  store(offsetof(Visit, after), after);
}

// body(row, column) for the vectors of the panels [begin, end) of a group
void for_vectors(Emitter& e, PairTile& t, Index group, Reach columns, llvm::function_ref<void(Index, Index)> body) {
  const Index row = e.mul(group, e.index(t.key.tiling.micro_rows));
  e.for_range("holes.row", row, e.add(row, e.index(t.key.tiling.micro_rows)), e.index(1), [&](Index r) {
    e.for_range("holes.panel", columns.begin, columns.end, e.index(e.lanes()), [&](Index column) { body(r, column); });
  });
}

// if (visited has a hole) fill from the first panel that is visited to the last; or: if (not all are visited) fill all
void emit_holes(Emitter& e, PairTile& t, const KeyTile& keys, Index group, Index visited, const HoleFill& holes) {
  switch (holes.which) {
    case Holes::kBetween: {
      const Index from_first = e.lshr(visited, e.bit_and(count_zeros(e, llvm::Intrinsic::cttz, visited), e.index(63)));
      const Index hole = e.bit_and(from_first, e.add(from_first, e.index(1)));
      return e.if_then("holes", e.logical_not(e.equal(hole, e.index(0))), [&] {
        const Reach between{visit_field(e, t, group, offsetof(Visit, begin)), visit_field(e, t, group, offsetof(Visit, end))};
        for_vectors(e, t, group, between, holes.fill);
      });
    }
    case Holes::kAll: {
      const Index all = e.round_up(keys.count, e.lanes());
      const Bool some = e.logical_not(e.equal(visited, e.low_bits(e.panel_of(all))));
      return e.if_then("holes", some, [&] { for_vectors(e, t, group, {e.index(0), all}, holes.fill); });
    }
  }
}

// The mask over the rows of `group` (those that exist) and the columns of `panel`.
Choice panel_mask(Emitter& e, PairTile& t, Index kv, Index group, Index panel) {
  const ir::Program& program = t.tables.program;
  const plan::Hoisting& hoisting = t.tables.hoisting;
  RangeEmitter ranges(e, program);
  const Index row = e.mul(group, e.index(t.key.tiling.micro_rows));
  const Index last_row = e.min(e.add(row, e.index(t.key.tiling.micro_rows - 1)), e.sub(t.item.q_count, e.index(1)));
  const Index column = e.add(kv, e.mul(panel, e.index(e.lanes())));
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const Id id{i};
    if (!hoisting.in_mask[i]) continue;
    const ir::Node& node = program.node(id);
    if (node.op == Op::kQIdx) ranges.set(id, Range{e.add(t.item.q_begin, row), e.add(t.item.q_begin, last_row)});
    if (node.op == Op::kKvIdx) ranges.set(id, Range{column, e.add(column, e.index(e.lanes() - 1))});
    if (hoisting.level[i] == Level::kUniform && node.op != Op::kConst) ranges.set_uniform(id, t.tables.uniform.value[i]);
    if (hoisting.range_slot[i] < 0) continue;
    const std::int32_t width = plan::width_of(program, id);
    const Ptr at = range_at(e, t, id, hoisting.level[i] == Level::kRow ? group : panel);
    const Int least = load_end(e, at, width), greatest = load_end(e, e.at_byte(at, 4 * width), width);
    if (ir::is_int(node.type)) {
      ranges.set(id, Range{e.widen(least), e.widen(greatest)});
    } else {  // entries are 0 and -1
      const auto is_set = [&](Int entry_bits) { return e.compare(llvm::CmpInst::ICMP_NE, entry_bits, e.constant_int(0)); };
      ranges.set(id, Choice{is_set(least), is_set(greatest)});
    }
  }
  return ranges.mask();
}

// for (p = 0; p < panels of count; ++p):
//   inside = panel overlaps [begin, end); visited |= inside && (!fine || !masked || mask may be true somewhere) << p;
//   whole |= panel lies in [begin, end) && fine && (!masked || mask is true everywhere) << p;
void emit_masked_visit(Emitter& e, PairTile& t, const KeyTile& keys, Index group, const HoleFill& holes) {
  const Index panels = e.panel_of(e.round_up(keys.count, e.lanes()));
  const Index begin = e.widen(keys.begin), end = e.widen(keys.end);
  const Values none{e.index(0).value, e.index(0).value};
  const Values bits = e.for_range("visit.panel", e.index(0), panels, e.index(1), none, [&](Index panel, const Values& so_far) {
    const Index first = e.add(keys.kv, e.mul(panel, e.index(e.lanes())));
    const Index next = e.add(first, e.index(e.lanes()));
    const Choice mask = panel_mask(e, t, keys.kv, group, panel);
    const Bool open = e.logical_not(keys.masked);
    const Bool some = e.logical_or(open, mask.some), all = e.logical_or(open, mask.all);
    const Bool overlaps = e.logical_and(e.less(first, end), e.less(begin, next));
    const Bool outside = e.logical_or(e.less(first, begin), e.less(end, next));
    const Bool visited = e.logical_and(overlaps, e.logical_or(e.logical_not(keys.fine), some));
    const Bool whole = e.logical_and(e.logical_not(outside), e.logical_and(keys.fine, all));
    const auto with = [&](llvm::Value* old, Bool bit) { return e.bit_or(Index{old}, e.shl(e.widen_bool(bit), panel)).value; };
    return Values{with(so_far[0], visited), with(so_far[1], whole)};
  });
  store_visit(e, t, group, Index{bits[0]}, Index{bits[1]});
  emit_holes(e, t, keys, group, Index{bits[0]}, holes);
}

}  // namespace

Index visit_field(Emitter& e, PairTile& t, Index group, std::size_t field) {
  return e.load_index(visit_at(e, t, group, field));
}

// for each group:
//   if (tile is not bounded) visited = panels of count; whole = fine ? visited : 0;
//   else masked_visit(group)
void emit_visits(Emitter& e, PairTile& t, const KeyTile& keys, const HoleFill& holes) {
  const SourceScope part = e.part(plan::Part::kVisits);
  e.if_else(
      "bounded", keys.bounded,
      [&] { for_groups(e, t, "visit", [&](Index group, Index) { emit_masked_visit(e, t, keys, group, holes); }); },
      [&] {
        // The count of a whole span is a multiple of the panel.
        const Index visited = e.low_bits(e.panel_of(keys.count));
        const Index whole = e.select(keys.fine, visited, e.index(0));
        for_groups(e, t, "visit_all", [&](Index group, Index) { store_visit(e, t, group, visited, whole); });
      });
}

void for_visiting_groups(Emitter& e, PairTile& t, Index offset, llvm::function_ref<void(const MicroTile&)> body) {
  for_groups(e, t, "group", [&](Index group, Index row) {
    const Index column = e.add(visit_field(e, t, group, offsetof(Visit, begin)), offset);
    const Index end = visit_field(e, t, group, offsetof(Visit, end));
    e.if_then("visited", e.less(column, end), [&] {
      const Index panels = e.low_bits(e.min(e.panel_of(e.sub(end, column)), e.index(t.key.tiling.micro_vectors)));
      const auto bits = [&](std::size_t field) {
        return e.bit_and(e.lshr(visit_field(e, t, group, field), e.panel_of(column)), panels);
      };
      const Index visited = bits(offsetof(Visit, visited)), whole = bits(offsetof(Visit, whole));
      body({.column = column, .row = row, .group = group, .panels = panels, .visited = visited, .whole = whole});
    });
  });
}

// if (column == begin) first = column + lowest set lane, or lanes;
// if (column + lanes == end) after = column + highest set lane + 1;
void narrow_visit(Emitter& e, PairTile& t, Index group, Index column, Index allowed) {
  const Index next = e.add(column, e.index(e.lanes()));
  e.if_then("first_panel", e.equal(column, visit_field(e, t, group, offsetof(Visit, begin))), [&] {
    const Index lane = e.min(count_zeros(e, llvm::Intrinsic::cttz, allowed), e.index(e.lanes()));
    e.store(e.add(column, lane).value, visit_at(e, t, group, offsetof(Visit, first)), 8);
  });
  e.if_then("last_panel", e.equal(next, visit_field(e, t, group, offsetof(Visit, end))), [&] {
    const Index lanes = e.sub(e.index(64), count_zeros(e, llvm::Intrinsic::ctlz, allowed));
    e.store(e.add(column, lanes).value, visit_at(e, t, group, offsetof(Visit, after)), 8);
  });
}

// for each group: row_ranges[slot][group] = {min, max} of row_values[slot][row .. row + micro_rows)
void emit_row_ranges(Emitter& e, PairTile& t) {
  const SourceScope part = e.part(plan::Part::kVisits);
  if (t.tables.hoisting.row_range_slots == 0) return;
  for_groups(e, t, "row_ranges", [&](Index group, Index row) {
    for (std::uint32_t i = 0; i < t.tables.program.size(); ++i) {
      if (t.tables.hoisting.range_slot[i] < 0 || t.tables.hoisting.level[i] != Level::kRow) continue;
      const std::int32_t width = plan::width_of(t.tables.program, Id{i});
      llvm::Value *least = nullptr, *greatest = nullptr;
      for (int r = 0; r < t.key.tiling.micro_rows; ++r) {
        const Ptr from = t.tables.entry_at(Level::kRow, t.tables.hoisting.value_slot[i], e.add(row, e.index(r)), width);
        llvm::Value* value = load_end(e, from, width).value;
        least = least == nullptr ? value : e.ir().CreateBinaryIntrinsic(llvm::Intrinsic::smin, least, value);
        greatest = greatest == nullptr ? value : e.ir().CreateBinaryIntrinsic(llvm::Intrinsic::smax, greatest, value);
      }
      const Ptr at = range_at(e, t, Id{i}, group);
      e.store(least, at);
      e.store(greatest, e.at_byte(at, 4 * width));
    }
  });
}

// column_ranges[slot][panel] = {min, max} of the panel's column values; columns past the lengths only widen it
void store_column_ranges(Emitter& e, PairTile& t, const Scope& scope, Index panel) {
  for (std::uint32_t i = 0; i < t.tables.program.size(); ++i) {
    if (t.tables.hoisting.range_slot[i] < 0 || t.tables.hoisting.level[i] != Level::kColumn) continue;
    llvm::Value* lanes = to_entry(e, scope.value[i]);
    const Ptr at = range_at(e, t, Id{i}, panel);
    e.store(e.ir().CreateIntMinReduce(lanes, true), at);
    e.store(e.ir().CreateIntMaxReduce(lanes, true), e.at_byte(at, 4 * plan::width_of(t.tables.program, Id{i})));
  }
}

}  // namespace flexjit::codegen
