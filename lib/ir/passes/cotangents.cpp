// Cotangents meet in a sum of choices; where one of two conditions holds exactly where the other does not, in one choice.
#include "ir/passes/cotangents.h"

#include <algorithm>

namespace flexjit::ir {
namespace {

// Of parts of one node: more would take time with the square of a program's size.
constexpr std::size_t kMostTried = 8;

bool is_true(const Program& program, Id id) { return program.node(id).op == Op::kConst && program.const_bool(id); }

bool is_negation(const Program& program, Id a, Id b) { return program.node(b).op == Op::kNot && program.operand(b, 0) == a; }

}  // namespace

// A part that joined another may now be the other side of a third.
void Cotangents::add(Id node, Cotangent part) {
  std::vector<Cotangent>& parts = parts_[node.index];
  for (std::size_t back = 1; back <= std::min(parts.size(), kMostTried);) {
    const auto other = parts.end() - static_cast<std::ptrdiff_t>(back);
    const auto one = joined(*other, part);
    if (one) parts.erase(other);
    part = one.value_or(part);
    back = one ? 1 : back + 1;
  }
  parts.push_back(part);
}

Cotangent Cotangents::sum(Id node) {
  const std::vector<Cotangent>& parts = parts_[node.index];
  Cotangent sum = parts[0];
  if (parts.size() == 1) return sum;
  for (const Cotangent& part : std::span(parts).subspan(1)) {
    const bool always = !sum.condition.valid() || !part.condition.valid();
    sum.condition = always ? Id{} : builder_.make(Op::kOr, {sum.condition, part.condition});
  }
  sum.value = selected(node);
  return sum;
}

// No choice of the whole: a sum of parts that are all 0 is 0.
Id Cotangents::selected(Id node) {
  Id sum;
  for (const Cotangent& part : parts_[node.index]) {
    const Id value = selected(part);
    sum = sum.valid() ? builder_.make(Op::kAdd, {sum, value}) : value;
  }
  return sum;
}

Id Cotangents::selected(const Cotangent& part) {
  if (!part.condition.valid()) return part.value;
  return builder_.make(Op::kSelect, {part.condition, part.value, builder_.const_float(0)});
}

Id Cotangents::both(Id a, Id b) {
  if (b.valid() && is_true(builder_.program(), b)) return a;
  if (!a.valid() || a == b) return b;
  return b.valid() ? builder_.make(Op::kAnd, {a, b}) : a;
}

// Under one condition, or the sides of one choice: under `outer && condition` and `outer && !condition`, or without an outer
// one.
std::optional<Cotangent> Cotangents::joined(const Cotangent& a, const Cotangent& b) {
  if (a.condition == b.condition) return Cotangent{a.condition, builder_.make(Op::kAdd, {a.value, b.value})};
  if (!a.condition.valid() || !b.condition.valid()) return std::nullopt;
  const Program& program = builder_.program();
  Id outer, yes = a.condition, no = b.condition;
  if (program.node(yes).op == Op::kAnd && program.node(no).op == Op::kAnd &&
      program.operand(yes, 0) == program.operand(no, 0)) {
    outer = program.operand(yes, 0);
    yes = program.operand(a.condition, 1);
    no = program.operand(b.condition, 1);
  }
  if (is_negation(program, yes, no)) return Cotangent{outer, builder_.make(Op::kSelect, {yes, a.value, b.value})};
  if (is_negation(program, no, yes)) return Cotangent{outer, builder_.make(Op::kSelect, {no, b.value, a.value})};
  return std::nullopt;
}

}  // namespace flexjit::ir
