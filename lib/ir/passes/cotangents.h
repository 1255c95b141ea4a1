// What differentiate() is made of: cotangents with the condition under which they count, and for each op what it passes on to
// its operands.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ir/program/program.h"

namespace flexjit::ir {

// The derivative of the score by a node. Where the condition is false it is 0 and `value` is anything; an invalid condition
// always holds.
struct Cotangent {
  Id condition;
  Id value;
};

// By node of the forward program: what its users pass on, and its sum. All ids but those of nodes are the builder's.
class Cotangents {
 public:
  Cotangents(ProgramBuilder& builder, std::size_t nodes) : builder_(builder), parts_(nodes) {}

  void add(Id node, Cotangent part);
  bool any(Id node) const { return !parts_[node.index].empty(); }
  Cotangent sum(Id node);
  // The sum, 0 where its condition is false.
  Id selected(Id node);

  // Where both conditions hold.
  Id both(Id a, Id b);
  // The condition as a bool.
  Id guard(Id condition) { return condition.valid() ? condition : builder_.const_bool(true); }

 private:
  Id selected(const Cotangent& part);
  std::optional<Cotangent> joined(const Cotangent& a, const Cotangent& b);
  ProgramBuilder& builder_;
  std::vector<std::vector<Cotangent>> parts_;  // under different conditions
};

constexpr bool is_constant_between_steps(Op op) {
  return op == Op::kFloor || op == Op::kCeil || op == Op::kRound || op == Op::kFloorDiv;
}

// A node of floats as it was computed.
struct Computed {
  Op op = Op::kConst;
  std::span<const Id> operands;
  Id result;
};

// By operand, what it gets of the cotangent `g` of the result, and the condition under which it takes part at all. No value: it
// has no derivative. Of the ops that have one; of those that are constant between steps, as floor, it is 0.
std::vector<Cotangent> partials_of(ProgramBuilder& builder, const Computed& node, Id g);

}  // namespace flexjit::ir
