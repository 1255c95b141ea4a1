// Cotangents meet in a sum of choices; where one of two conditions holds exactly where the other does not, in one choice.
#include "ir/passes/cotangents.h"

namespace flexjit::ir {
namespace {

bool is_true(const Program& program, Id id) { return program.node(id).op == Op::kConst && program.const_bool(id); }

bool is_negation(const Program& program, Id a, Id b) { return program.node(b).op == Op::kNot && program.operand(b, 0) == a; }

}  // namespace

void Cotangents::add(Id node, const Cotangent& cotangent) {
  std::optional<Cotangent>& so_far = of_[node.index];
  so_far = so_far ? sum(*so_far, cotangent) : cotangent;
}

Id Cotangents::selected(const Cotangent& cotangent) {
  if (!cotangent.condition.valid()) return cotangent.value;
  return builder_.make(Op::kSelect, {cotangent.condition, cotangent.value, builder_.const_float(0)});
}

Id Cotangents::both(Id a, Id b) {
  if (b.valid() && is_true(builder_.program(), b)) return a;
  if (!a.valid() || a == b) return b;
  return b.valid() ? builder_.make(Op::kAnd, {a, b}) : a;
}

Cotangent Cotangents::sum(const Cotangent& a, const Cotangent& b) {
  if (a.condition == b.condition) return {a.condition, builder_.make(Op::kAdd, {a.value, b.value})};
  if (const auto one = choice(a, b)) return *one;
  Id either;
  if (a.condition.valid() && b.condition.valid()) either = builder_.make(Op::kOr, {a.condition, b.condition});
  return {either, builder_.make(Op::kAdd, {selected(a), selected(b)})};
}

// The sides of one choice, each under `outer && condition` and `outer && !condition` or without an outer condition.
std::optional<Cotangent> Cotangents::choice(const Cotangent& a, const Cotangent& b) {
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
