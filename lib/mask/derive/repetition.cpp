// One forward loop each: how far apart equal remainders lie, and by how much a value moves when the indices do.
#include "mask/derive/repetition.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "ir/analysis/interval_arithmetic.h"

namespace flexjit::mask {

namespace {

constexpr std::int64_t kUnknown = std::numeric_limits<std::int64_t>::min();

// The constant by which a node divides or takes a remainder; 0 for others. Shifts and masks of low bits divide too.
std::int64_t divisor_of(const ir::Program& program, ir::Id id, std::span<const ir::Range> ranges) {
  const ir::Node& node = program.node(id);
  if (node.type != ir::Type::kInt || node.operand_count != 2) return 0;
  const ir::Range& by = ranges[program.operand(id, 1).index];
  if (!by.is_point()) return 0;
  const auto number = static_cast<std::int64_t>(by.lo);
  if (node.op == ir::Op::kFloorDiv || node.op == ir::Op::kMod) return number >= 1 ? number : 0;
  if (node.op == ir::Op::kShr) return number >= 0 && number < 31 ? std::int64_t{1} << number : 0;
  if (node.op == ir::Op::kAnd) return number >= 0 && (number & (number + 1)) == 0 ? number + 1 : 0;
  return 0;
}

bool is_remainder(ir::Op op) { return op == ir::Op::kMod || op == ir::Op::kAnd; }

}  // namespace

// `scale`: the indices move by as much for every 1 that the node moves by.
std::int64_t Repetition::distance(std::span<const ir::Range> plane, std::int64_t unit, std::int64_t longest) const {
  std::vector<std::int64_t> scale(program_.size(), 1);
  std::int64_t found = unit;
  for (std::uint32_t i = 0; i < program_.size() && found <= longest; ++i) {
    const ir::Id id{i};
    // What buffers hold seldom repeats.
    if (program_.node(id).op == ir::Op::kRead && (varies_[i].q || varies_[i].kv)) return 0;
    if (!varies_[i].on_one()) continue;
    for (ir::Id operand : program_.operands(id)) scale[i] = std::max(scale[i], scale[operand.index]);
    const std::int64_t divisor = divisor_of(program_, id, plane);
    if (divisor == 0) continue;
    const std::int64_t needed = scale[i] * divisor;
    if (needed > longest) return 0;
    found = std::lcm(found, needed);
    scale[i] = is_remainder(program_.node(id).op) ? 1 : needed;
  }
  return found <= longest ? found : 0;
}

bool Repetition::holds(const BoxProver& prover, Nodes nodes, const Move& move) {
  if (prover.may_fault()) return false;
  // What does not vary in the plane does not move.
  std::ranges::fill(moves_, 0);
  for (std::uint32_t node : nodes) moves_[node] = move_of(ir::Id{node}, prover, move);
  return moves_[program_.mask().index] == 0;
}

std::int64_t Repetition::move_of(ir::Id id, const BoxProver& prover, const Move& move) const {
  const ir::Node& node = program_.node(id);
  const std::span<const ir::Range> ranges = prover.ranges();
  if (ranges[id.index].is_point()) return 0;
  if (node.op == ir::Op::kQIdx) return move.q;
  if (node.op == ir::Op::kKvIdx) return move.kv;
  const std::span<const ir::Id> operands = program_.operands(id);
  if (node.op == ir::Op::kSelect && ranges[operands[0].index].is_point())
    return moves_[operands[ranges[operands[0].index].lo != 0 ? 1 : 2].index];
  // The same operands give the same result.
  if (std::ranges::all_of(operands, [&](ir::Id operand) { return moves_[operand.index] == 0; })) return 0;
  if (std::ranges::any_of(operands, [&](ir::Id operand) { return moves_[operand.index] == kUnknown; })) return kUnknown;
  const bool whole_operands =
      std::ranges::all_of(operands, [&](ir::Id operand) { return program_.node(operand).type == ir::Type::kInt; });
  return whole_operands ? move_of_whole(id, ranges) : kUnknown;
}

// Of ints, some of which move. A result that may wrap is any int.
std::int64_t Repetition::move_of_whole(ir::Id id, std::span<const ir::Range> ranges) const {
  const ir::Op op = program_.node(id).op;
  const ir::Id first = program_.operand(id, 0), last = program_.operands(id).back();
  const std::int64_t a = moves_[first.index], b = moves_[last.index];
  const ir::Range &x = ranges[first.index], &y = ranges[last.index];
  if (program_.node(id).type == ir::Type::kBool) {
    const bool compares = ir::type_rule(op) == ir::TypeRule::kCompare || ir::type_rule(op) == ir::TypeRule::kEqual;
    return compares && a == b ? 0 : kUnknown;
  }
  if (ranges[id.index] == ir::kAnyInt) return kUnknown;
  if (op == ir::Op::kNeg) return -a;
  if (op == ir::Op::kAdd) return a + b;
  if (op == ir::Op::kSub) return a - b;
  if (op == ir::Op::kMul && (x.is_point() || y.is_point()))
    return x.is_point() ? static_cast<std::int64_t>(x.lo) * b : static_cast<std::int64_t>(y.lo) * a;
  if (op == ir::Op::kMin || op == ir::Op::kMax) {
    if (a == b) return a;
    const bool first_is_less = x.hi <= y.lo, last_is_less = y.hi <= x.lo;
    if (!first_is_less && !last_is_less) return kUnknown;
    return first_is_less == (op == ir::Op::kMin) ? a : b;
  }
  if (op == ir::Op::kAbs) return x.lo >= 0 ? a : x.hi <= 0 ? -a : kUnknown;
  const std::int64_t divisor = divisor_of(program_, id, ranges);
  if (divisor == 0 || a % divisor != 0) return kUnknown;
  return is_remainder(op) ? 0 : a / divisor;
}

}  // namespace flexjit::mask
