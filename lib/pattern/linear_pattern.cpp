// The mask's conjunction, condition by condition. Comparisons are recognised by how their sides change with the indices.
#include "pattern/linear_pattern.h"

#include <algorithm>
#include <array>
#include <vector>

#include "ir/evaluate/interpreter.h"
#include "ir/passes/passes.h"
#include "ir/passes/rewrite.h"
#include "plan/hoisting.h"
#include "support/check.h"

namespace flexjit::engine {

namespace {

using ir::Id;
using ir::Op;

// Conditions that all hold where the mask does.
std::vector<Id> conditions_of(const ir::Program& program) {
  std::vector<Id> found, open = {program.mask()};
  while (!open.empty()) {
    const Id next = open.back();
    open.pop_back();
    if (!next.valid()) continue;
    if (program.node(next).op == Op::kAnd) {
      open.insert(open.end(), {program.operand(next, 1), program.operand(next, 0)});
    } else {
      found.push_back(next);
    }
  }
  return found;
}

bool reaches(const ir::Program& program, const std::vector<bool>& reached, Op op) {
  for (std::uint32_t i = 0; i < program.size(); ++i)
    if (reached[i] && program.nodes()[i].op == op) return true;
  return false;
}

bool checks_reads(const ir::Program& program, const std::vector<bool>& reached) {
  for (std::uint32_t i = 0; i < program.size(); ++i)
    if (reached[i] && program.nodes()[i].op == Op::kRead && program.read(Id{i}).checked) return true;
  return reaches(program, reached, Op::kDot);
}

// kv_idx - q_idx is at most something that is the same for all pairs.
bool is_causal(const ir::Program& program, const plan::Hoisting& hoisting, Id id) {
  const Op op = program.node(id).op;
  const bool at_most = op == Op::kLe || op == Op::kLt;
  if (!at_most && op != Op::kGe && op != Op::kGt) return false;
  const plan::Slopes left = hoisting.slopes[program.operand(id, 0).index],
                     right = hoisting.slopes[program.operand(id, 1).index];
  if (!left.known || !right.known) return false;
  const std::int64_t q = std::int64_t{left.q} - right.q, kv = std::int64_t{left.kv} - right.kv;
  return q == -kv && (at_most ? kv > 0 : kv < 0);
}

// The program again, with the conditions as its mask.
ir::Program with_mask(const ir::Program& program, const std::vector<Id>& conditions, bool with_features) {
  ir::ProgramBuilder builder = ir::with_declarations_of(program);
  std::vector<Id> copies;
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    std::vector<Id> operands;
    for (Id operand : program.operands(Id{i})) operands.push_back(copies[operand.index]);
    copies.push_back(ir::copy_node(builder, program, Id{i}, operands));
  }
  ir::Roots roots;
  Id& mask = roots[ir::Root::kMask];
  for (Id condition : conditions) {
    const Id copy = copies[condition.index];
    mask = mask.valid() ? builder.make(Op::kAnd, {mask, copy}) : copy;
  }
  for (const ir::Root root : {ir::Root::kFeature, ir::Root::kGate})
    if (const Id id = program.roots()[root]; with_features && id.valid()) roots[root] = copies[id.index];
  return ir::simplify(std::move(builder).finish(roots));
}

}  // namespace

std::optional<SplitMask> split_mask(const ir::Program& program) {
  const plan::Hoisting hoisting = plan::hoist(program, plan::Nest::kPrefill);
  std::vector<Id> of_keys, of_diagonals;
  for (const Id condition : conditions_of(program)) {
    const std::vector<bool> reached = ir::reachable(program, condition);
    if (!reaches(program, reached, Op::kQIdx)) {
      of_keys.push_back(condition);
    } else if (is_causal(program, hoisting, condition) && !checks_reads(program, reached)) {
      of_diagonals.push_back(condition);
    } else {
      return std::nullopt;
    }
  }
  return SplitMask{with_mask(program, of_keys, true), with_mask(program, of_diagonals, false)};
}

// Bisection between the diagonals of the corners: what holds of one holds of those below it.
std::int64_t diagonal_of(const ir::Program& diagonals, const ir::Environment& environment, std::int32_t b, std::int32_t h) {
  ir::Interpreter interpreter(diagonals, environment);
  const auto holds = [&](std::int64_t diagonal) {
    std::array<std::uint8_t, 1> allowed{};
    const std::int64_t q = std::max<std::int64_t>(-diagonal, 0), kv = std::max<std::int64_t>(diagonal, 0);
    const auto fault = interpreter.eval_mask(
        {.b = b, .h = h, .q_idx = static_cast<std::int32_t>(q), .kv_begin = static_cast<std::int32_t>(kv), .count = 1},
        allowed);
    FLEXJIT_CHECK(!fault, "a bound of diagonals is read out of range");
    return allowed[0] != 0;
  };
  std::int64_t low = -std::int64_t{environment.q_len}, high = std::int64_t{environment.kv_len} - 1;
  while (low < high) {  // low holds, or is below all; above high none holds
    const std::int64_t middle = low + (high - low + 1) / 2;
    if (holds(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

}  // namespace flexjit::engine
