// Conditions -> conjunctions of literals: `a && b` gives a, b, and the failure of `a || b` gives not a, not b.
#include "ir/lower/lower_guards.h"

#include <algorithm>

namespace flexjit::ir {
namespace {

std::uint32_t literal_of(Id condition, Outcome outcome) { return 2 * condition.index + (outcome == Outcome::kFalse ? 1 : 0); }

}  // namespace

Guards::Guards(ProgramBuilder& builder) : builder_(builder) { guards_.push_back({builder.const_bool(true), {}}); }

GuardId Guards::also(GuardId guard, Id condition, Outcome outcome) {
  const auto [entry, is_new] = known_.try_emplace({guard, literal_of(condition, outcome)}, guard);
  if (!is_new) return entry->second;
  std::vector<std::uint32_t> literals;
  collect(condition, outcome, literals);
  std::sort(literals.begin(), literals.end());
  const std::vector<std::uint32_t>& outer = guards_[guard.index].literals;
  std::vector<std::uint32_t> joined;
  std::set_union(outer.begin(), outer.end(), literals.begin(), literals.end(), std::back_inserter(joined));
  joined.erase(std::unique(joined.begin(), joined.end()), joined.end());
  if (joined == outer) return guard;

  const Id holds = outcome == Outcome::kTrue ? condition : builder_.make(Op::kNot, {condition});
  const Id both = guard == kAlways ? holds : builder_.make(Op::kAnd, {guards_[guard.index].condition, holds});
  guards_.push_back({both, std::move(joined)});
  entry->second = {static_cast<std::uint32_t>(guards_.size() - 1)};
  return entry->second;
}

// Iterative: a condition may be a chain of a thousand operators.
void Guards::collect(Id condition, Outcome outcome, std::vector<std::uint32_t>& literals) const {
  std::vector<std::pair<Id, Outcome>> open = {{condition, outcome}};
  while (!open.empty()) {
    const auto [id, wanted] = open.back();
    open.pop_back();
    const Program& program = builder_.program();
    const Op splits = wanted == Outcome::kTrue ? Op::kAnd : Op::kOr;
    if (program.node(id).op == Op::kNot) {
      open.emplace_back(program.operand(id, 0), wanted == Outcome::kTrue ? Outcome::kFalse : Outcome::kTrue);
    } else if (program.node(id).op == splits) {
      open.emplace_back(program.operand(id, 0), wanted);
      open.emplace_back(program.operand(id, 1), wanted);
    } else {
      literals.push_back(literal_of(id, wanted));
    }
  }
}

bool Guards::implies(GuardId stronger, GuardId weaker) const {
  const std::vector<std::uint32_t>& more = guards_[stronger.index].literals;
  const std::vector<std::uint32_t>& fewer = guards_[weaker.index].literals;
  return std::includes(more.begin(), more.end(), fewer.begin(), fewer.end());
}

}  // namespace flexjit::ir
