// One forward loop: operands precede their users.
#include "ir/lower/lower_needs.h"

#include <algorithm>
#include <iterator>

namespace flexjit::ir {
namespace {

Needs both(const Needs& a, const Needs& b) {
  if (a == b || !a) return b;
  if (!b) return a;
  std::vector<std::uint32_t> result;
  std::set_union(a->begin(), a->end(), b->begin(), b->end(), std::back_inserter(result));
  return std::make_shared<const std::vector<std::uint32_t>>(std::move(result));
}

Needs shared_by(const Needs& a, const Needs& b) {
  if (a == b || !a || !b) return a == b ? a : nullptr;
  std::vector<std::uint32_t> result;
  std::set_intersection(a->begin(), a->end(), b->begin(), b->end(), std::back_inserter(result));
  return result.empty() ? nullptr : std::make_shared<const std::vector<std::uint32_t>>(std::move(result));
}

bool short_circuits(const dsl::TypedNode& node) {
  return node.kind == dsl::TypedKind::kOperator && (node.op == dsl::Operator::kAnd || node.op == dsl::Operator::kOr);
}

std::vector<std::uint32_t> count_users(const dsl::Checked& checked) {
  std::vector<std::uint32_t> users(checked.nodes.size());
  for (dsl::TypedId operand : checked.operands) ++users[operand.index];
  return users;
}

}  // namespace

std::vector<Needs> unconditional_needs(const dsl::Checked& checked) {
  const std::vector<std::uint32_t> users = count_users(checked);
  std::vector<Needs> needs(checked.nodes.size());
  for (std::uint32_t i = 0; i < needs.size(); ++i) {
    const dsl::TypedNode& node = checked.nodes[i];
    if (!node.reads) continue;
    const auto operands = checked.operands_of({i});
    const auto of = [&](std::size_t operand) -> const Needs& { return needs[operands[operand].index]; };
    if (node.kind == dsl::TypedKind::kSelect) {
      needs[i] = both(of(0), shared_by(of(1), of(2)));
    } else if (short_circuits(node)) {
      needs[i] = of(0);
    } else {
      for (std::size_t operand = 0; operand < operands.size(); ++operand) needs[i] = both(needs[i], of(operand));
    }
    if (node.kind == dsl::TypedKind::kRead || node.kind == dsl::TypedKind::kDot || users[i] > 1) {
      needs[i] = both(needs[i], std::make_shared<const std::vector<std::uint32_t>>(1, i));
    }
  }
  return needs;
}

}  // namespace flexjit::ir
