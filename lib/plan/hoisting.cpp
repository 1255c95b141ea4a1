// One forward loop for the levels, one backward loop for reachability, one for what crosses from a loop into the next.
#include "plan/hoisting.h"

namespace flexjit::plan {
namespace {

using ir::Id;
using ir::Op;

Level join(Level a, Level b) {
  if (a == Level::kUniform) return b;
  if (b == Level::kUniform || a == b) return a;
  return Level::kElement;
}

std::vector<Level> levels_of(const ir::Program& program) {
  std::vector<Level> level(program.size(), Level::kUniform);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const Op op = program.nodes()[i].op;
    if (op == Op::kScore) level[i] = Level::kElement;
    if (op == Op::kQIdx) level[i] = Level::kRow;
    if (op == Op::kKvIdx) level[i] = Level::kColumn;
    for (Id operand : program.operands(Id{i})) level[i] = join(level[i], level[operand.index]);
  }
  return level;
}

std::vector<bool> reached_from(const ir::Program& program, Id root) {
  std::vector<bool> reached(program.size(), false);
  if (!root.valid()) return reached;
  reached[root.index] = true;
  for (std::uint32_t i = root.index + 1; i-- > 0;) {
    if (!reached[i]) continue;
    for (Id operand : program.operands(Id{i})) reached[operand.index] = true;
  }
  return reached;
}

bool is_checked(const ir::Program& program, Id id) {
  const Op op = program.node(id).op;
  return (op == Op::kRead && program.read(id).checked) || (op == Op::kDot && program.dot(id).checked);
}

// A node is stored when something outside its own loop needs it: an element-level user, a root, or the report of a bad index.
std::vector<bool> crossing_nodes(const ir::Program& program, const std::vector<Level>& level) {
  std::vector<bool> crossing(program.size(), false);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (level[i] != Level::kElement && !is_checked(program, Id{i})) continue;
    for (Id operand : program.operands(Id{i})) crossing[operand.index] = true;
  }
  if (program.score().valid()) crossing[program.score().index] = true;
  if (program.mask().valid()) crossing[program.mask().index] = true;
  return crossing;
}

// Vector instructions of one node on lanes, to choose where the epilogue lives; only the order of magnitude matters.
std::int32_t cost_of(Op op) {
  switch (op) {
    case Op::kConst:
    case Op::kScore:
    case Op::kBatch:
    case Op::kHead:
    case Op::kQIdx:
    case Op::kKvIdx:
    case Op::kQLen:
    case Op::kKvLen:
    case Op::kNumHeads:
    case Op::kNumKvHeads:
    case Op::kKvHead:
    case Op::kBatchSize:
    case Op::kParam: return 0;
    case Op::kNeg:
    case Op::kAdd:
    case Op::kSub:
    case Op::kMul:
    case Op::kAbs:
    case Op::kAnd:
    case Op::kOr:
    case Op::kXor:
    case Op::kNot:
    case Op::kShl:
    case Op::kShr:
    case Op::kEq:
    case Op::kNe:
    case Op::kLt:
    case Op::kLe:
    case Op::kGt:
    case Op::kGe:
    case Op::kSelect:
    case Op::kIntToFloat:
    case Op::kBoolToInt:
    case Op::kFloor:
    case Op::kCeil:
    case Op::kRound:
    case Op::kMin:
    case Op::kMax: return 1;
    case Op::kFloatToInt:
    case Op::kDiv:
    case Op::kSqrt: return 4;
    case Op::kFloorDiv:
    case Op::kMod:
    case Op::kExp:
    case Op::kExp2:
    case Op::kLog:
    case Op::kLog2: return 20;
    case Op::kLog1p:
    case Op::kTanh:
    case Op::kErf:
    case Op::kSin:
    case Op::kCos: return 40;
    case Op::kPow:
    case Op::kRead:
    case Op::kDot: return 80;
  }
  return 0;
}

}  // namespace

std::string_view name_of(Level level) {
  switch (level) {
    case Level::kUniform: return "uniform";
    case Level::kRow: return "row";
    case Level::kColumn: return "column";
    case Level::kElement: return "element";
  }
  return "";
}

Hoisting hoist(const ir::Program& program) {
  Hoisting hoisting;
  hoisting.level = levels_of(program);
  hoisting.in_mask = reached_from(program, program.mask());
  hoisting.in_score = reached_from(program, program.score());
  hoisting.value_slot.assign(program.size(), Hoisting::kNoSlot);
  hoisting.flag_slot.assign(program.size(), Hoisting::kNoSlot);
  const std::vector<bool> crossing = crossing_nodes(program, hoisting.level);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const Id id{i};
    const bool checked = is_checked(program, id);
    if (hoisting.level[i] == Level::kElement) {
      if (hoisting.in_score[i]) hoisting.score_cost += cost_of(program.node(id).op);
      hoisting.checks_elements = hoisting.checks_elements || checked;
    } else if (hoisting.level[i] != Level::kUniform) {
      std::int32_t& slots = hoisting.level[i] == Level::kRow ? hoisting.row_slots : hoisting.column_slots;
      if (crossing[i]) hoisting.value_slot[i] = slots++;
      if (checked) hoisting.flag_slot[i] = slots++;
    }
  }
  return hoisting;
}

}  // namespace flexjit::plan
