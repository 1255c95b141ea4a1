// Forward loops for slopes and levels, backward loops for reachability, one for what crosses from a loop into the next.
#include "plan/hoisting.h"

#include <algorithm>
#include <utility>

namespace flexjit::plan {
namespace {

using ir::Id;
using ir::Op;

constexpr std::int32_t kLoadCost = 2;

Level join(Level a, Level b) {
  if (a == Level::kUniform) return b;
  if (b == Level::kUniform || a == b) return a;
  return Level::kElement;
}

bool is_const(const ir::Program& program, Id id) { return program.node(id).op == Op::kConst; }

Slopes slopes_of(const ir::Program& program, Id id, const std::vector<Slopes>& slopes) {
  const auto operands = program.operands(id);
  const auto slope = [&](std::size_t i) { return slopes[operands[i].index]; };
  const auto wrap = [](std::int64_t value) { return static_cast<std::int32_t>(value); };
  const auto sum = [&](Slopes a, Slopes b, std::int64_t factor) -> Slopes {
    return {a.known && b.known, wrap(a.q + factor * b.q), wrap(a.kv + factor * b.kv)};
  };
  if (program.node(id).type != ir::Type::kInt) return {};
  const Op op = program.node(id).op;
  if (op == Op::kQIdx) return {true, 1, 0};
  if (op == Op::kKvIdx) return {true, 0, 1};
  if (op == Op::kAdd) return sum(slope(0), slope(1), 1);
  if (op == Op::kSub) return sum(slope(0), slope(1), -1);
  if (op == Op::kNeg) return sum({true, 0, 0}, slope(0), -1);
  if (op != Op::kMul) return {};
  for (std::size_t i : {0U, 1U}) {
    if (is_const(program, operands[i])) return sum({true, 0, 0}, slope(1 - i), program.const_int(operands[i]));
  }
  return {};
}

bool is_checked(const ir::Program& program, Id id) {
  const Op op = program.node(id).op;
  return (op == Op::kRead && program.read(id).checked) || (op == Op::kDot && program.dot(id).checked);
}

// A read happens where its indices are known, if it can be told there that they are inside.
std::span<const Id> deciding_operands(const ir::Program& program, Id id) {
  return program.operands(id).subspan(is_checked(program, id) ? 1 : 0);
}

// More say little: conditions are added from outside inwards.
constexpr std::size_t kMaxEarlyConditions = 8;

// The conditions of a guard that vary with no more than `level` does.
std::vector<GuardCondition> early_conditions(const ir::Program& program, Id guard, Level level,
                                             const std::vector<Level>& levels) {
  std::vector<GuardCondition> found, open = {{guard, true}};
  while (!open.empty() && found.size() < kMaxEarlyConditions) {
    const GuardCondition next = open.back();
    open.pop_back();
    const Op op = program.node(next.id).op;
    if (join(levels[next.id.index], level) == level) {
      found.push_back(next);
    } else if (op == Op::kNot) {
      open.push_back({program.operand(next.id, 0), !next.holds});
    } else if (op == (next.holds ? Op::kAnd : Op::kOr)) {
      open.push_back({program.operand(next.id, 0), next.holds});
      open.push_back({program.operand(next.id, 1), next.holds});
    }
  }
  return found;
}

void note_guard(const ir::Program& program, Id id, Hoisting& hoisting) {
  const Level level = hoisting.level[id.index];
  const Id guard = program.operand(id, 0);
  hoisting.late_guard[id.index] = join(hoisting.level[guard.index], level) != level;
  if (hoisting.late_guard[id.index]) hoisting.early[id.index] = early_conditions(program, guard, level, hoisting.level);
}

// By what a node varies with; a linear node may tie both indices to their difference.
void classify(const ir::Program& program, Nest nest, Hoisting& hoisting) {
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const Id id{i};
    const Op op = program.node(id).op;
    Level level = ir::is_of_pair(op) || ir::is_of_feature(op) || ir::accumulates(op) ? Level::kElement : Level::kUniform;
    for (Id operand : deciding_operands(program, id)) level = join(level, hoisting.level[operand.index]);
    Slopes slopes = slopes_of(program, id, hoisting.slopes);
    if (level == Level::kUniform && op != Op::kQIdx && op != Op::kKvIdx && program.node(id).type == ir::Type::kInt) {
      slopes = {true, 0, 0};
    }
    if (op == Op::kQIdx || (op == Op::kHead && facts_of(nest).heads_by_row)) level = Level::kRow;
    if (op == Op::kKvIdx) level = Level::kColumn;
    if (facts_of(nest).diagonals && slopes.known && level == Level::kElement && slopes.q == -slopes.kv)
      level = Level::kDiagonal;
    hoisting.level[i] = level;
    hoisting.slopes[i] = slopes;
    if (is_checked(program, id)) note_guard(program, id, hoisting);
  }
}

// A node is stored when something outside its own loop needs it: an element-level user, a root, or the report of a bad index.
// A diagonal node evaluates its operands anew, along the diagonal.
std::vector<bool> crossing_nodes(const ir::Program& program, const std::vector<Level>& level) {
  std::vector<bool> crossing(program.size(), false);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (level[i] != Level::kElement && !is_checked(program, Id{i})) continue;
    for (Id operand : program.operands(Id{i})) crossing[operand.index] = true;
  }
  for (const ir::RootFacts& facts : ir::kRoots) {
    if (const Id root = program.roots()[facts.root]; root.valid()) crossing[root.index] = true;
  }
  return crossing;
}

// What is evaluated where the node is.
std::vector<Id> operands_in_place(const ir::Program& program, const Hoisting& hoisting, Id id) {
  const auto operands = program.operands(id).subspan(hoisting.late_guard[id.index] ? 1 : 0);
  std::vector<Id> result(operands.begin(), operands.end());
  for (const GuardCondition& condition : hoisting.early[id.index]) result.push_back(condition.id);
  return result;
}

// A diagonal is worth a table where computing it anew costs more than this many instructions; a load costs about two.
constexpr std::int32_t kDiagonalCost = 3;

// Diagonal nodes that are cheaper to compute than to load become element nodes, and so does what only they use.
void drop_cheap_diagonals(const ir::Program& program, Hoisting& hoisting) {
  std::vector<std::int32_t> cost(program.size(), 0);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (hoisting.level[i] != Level::kDiagonal) continue;
    cost[i] = ir::time_of(program.nodes()[i].op);
    for (Id operand : program.operands(Id{i})) cost[i] = std::min(cost[i] + cost[operand.index], 1000);
  }
  const std::vector<bool> crossing = crossing_nodes(program, hoisting.level);
  std::vector<bool> kept(program.size(), false);
  for (std::uint32_t i = static_cast<std::uint32_t>(program.size()); i-- > 0;) {
    if (hoisting.level[i] != Level::kDiagonal) continue;
    kept[i] = kept[i] || (crossing[i] && cost[i] >= kDiagonalCost) || is_checked(program, Id{i});
    if (!kept[i]) continue;
    for (Id operand : operands_in_place(program, hoisting, Id{i})) kept[operand.index] = true;
  }
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (hoisting.level[i] == Level::kDiagonal && !kept[i]) hoisting.level[i] = Level::kElement;
  }
}

bool same_for_all_lanes(Level level) { return level == Level::kUniform || level == Level::kRow; }

bool is_contiguous(const ir::Program& program, const Hoisting& hoisting, Id id) {
  if (program.node(id).op != Op::kRead) return false;
  const auto indices = program.operands(id).subspan(1);
  for (Id index : indices.first(indices.size() - 1)) {
    if (!same_for_all_lanes(hoisting.level[index.index])) return false;
  }
  const Slopes& last = hoisting.slopes[indices.back().index];
  return last.known && last.kv == 1;
}

std::vector<bool> under_diagonals(const ir::Program& program, const Hoisting& hoisting) {
  std::vector<bool> under(program.size(), false);
  for (std::uint32_t i = static_cast<std::uint32_t>(program.size()); i-- > 0;) {
    under[i] = under[i] || hoisting.level[i] == Level::kDiagonal;
    if (!under[i]) continue;
    for (Id operand : operands_in_place(program, hoisting, Id{i})) under[operand.index] = true;
  }
  return under;
}

// The range of a linear node follows from the indices; those of the rest are taken from what was computed.
bool needs_range(const ir::Program& program, const Hoisting& hoisting, std::uint32_t node) {
  return hoisting.in_mask[node] && program.nodes()[node].type != ir::Type::kFloat && !hoisting.slopes[node].known;
}

void assign_slots(const ir::Program& program, Nest nest, Hoisting& hoisting) {
  const std::vector<bool> crossing = crossing_nodes(program, hoisting.level);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const bool checked = is_checked(program, Id{i});
    const std::int32_t width = width_of(program, Id{i});
    const auto take = [&](std::int32_t& slots) {
      if (crossing[i]) hoisting.value_slot[i] = std::exchange(slots, slots + width);
      if (checked) hoisting.flag_slot[i] = slots++;
    };
    const bool ranged = facts_of(nest).diagonals && crossing[i] && needs_range(program, hoisting, i);
    switch (hoisting.level[i]) {
      case Level::kUniform: break;
      case Level::kRow:
        take(hoisting.row_slots);
        if (ranged) hoisting.range_slot[i] = std::exchange(hoisting.row_range_slots, hoisting.row_range_slots + width);
        break;
      case Level::kColumn:
        take(hoisting.column_slots);
        if (ranged) hoisting.range_slot[i] = std::exchange(hoisting.column_range_slots, hoisting.column_range_slots + width);
        break;
      case Level::kDiagonal: take(hoisting.diagonal_slots); break;
      case Level::kElement:
        if (hoisting.in_score[i])
          hoisting.score_cost += plan::cost_of(program, hoisting, Id{i});
        else if (hoisting.in_gradient[i])
          hoisting.gradient_cost += plan::cost_of(program, hoisting, Id{i});
        hoisting.checks_elements = hoisting.checks_elements || checked;
        break;
    }
  }
}

}  // namespace

std::string_view name_of(Level level) {
  switch (level) {
    case Level::kUniform: return "uniform";
    case Level::kRow: return "row";
    case Level::kColumn: return "column";
    case Level::kDiagonal: return "diagonal";
    case Level::kElement: return "element";
  }
  return "";
}

std::int32_t width_of(const ir::Program& program, Id id) {
  const ir::Type type = program.node(id).type;
  const bool is_f64 = type == ir::Type::kFloat && program.precision() == ir::Precision::kFp64;
  return is_f64 || type == ir::Type::kLong ? 2 : 1;
}

std::int32_t cost_of(const ir::Program& program, const Hoisting& hoisting, Id id) {
  return hoisting.contiguous[id.index] ? kLoadCost : ir::time_of(program.node(id).op);
}

std::vector<bool> functions_of_diagonals(const ir::Program& program, const Hoisting& hoisting) {
  std::vector<bool> is(program.size(), false);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const ir::TypeRule rule = ir::type_rule(program.nodes()[i].op);
    const auto operands = program.operands(Id{i});
    const Slopes& slopes = hoisting.slopes[i];
    is[i] = hoisting.level[i] == Level::kUniform || (slopes.known && slopes.q == -slopes.kv);
    if (is[i] || operands.empty() || rule == ir::TypeRule::kVariadic) continue;
    is[i] = std::ranges::all_of(operands, [&](Id operand) { return is[operand.index]; });
  }
  return is;
}

Hoisting hoist(const ir::Program& program, Nest nest) {
  Hoisting hoisting;
  hoisting.level.assign(program.size(), Level::kUniform);
  hoisting.slopes.assign(program.size(), Slopes{});
  hoisting.value_slot.assign(program.size(), Hoisting::kNoSlot);
  hoisting.flag_slot.assign(program.size(), Hoisting::kNoSlot);
  hoisting.range_slot.assign(program.size(), Hoisting::kNoSlot);
  hoisting.late_guard.assign(program.size(), false);
  hoisting.early.resize(program.size());
  hoisting.in_mask = ir::reachable(program, program.mask());
  hoisting.in_score = ir::reachable(program, program.score());
  hoisting.in_factor = ir::reachable(program, program.weight_factor());
  hoisting.in_gradient = ir::reachable(program, ir::gradients_of(program));
  classify(program, nest, hoisting);
  drop_cheap_diagonals(program, hoisting);
  hoisting.contiguous.assign(program.size(), false);
  for (std::uint32_t i = 0; i < program.size(); ++i) hoisting.contiguous[i] = is_contiguous(program, hoisting, Id{i});
  hoisting.in_diagonal = under_diagonals(program, hoisting);
  assign_slots(program, nest, hoisting);
  return hoisting;
}

}  // namespace flexjit::plan
