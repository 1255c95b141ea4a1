// A forward program -> its derivative, by one loop from the score back to what it is made of. The cotangent of a node comes
// with the condition under which it counts: where a choice took the other side, or a read was guarded away, the derivative of
// what was not taken may be infinite or NaN, so that it is never multiplied by 0 but left out, when cotangents meet and at the
// leaves.
#include <algorithm>
#include <utility>

#include "ir/passes/cotangents.h"
#include "ir/passes/passes.h"
#include "ir/passes/rewrite.h"
#include "support/check.h"

namespace flexjit::ir {
namespace {

class Differentiation {
 public:
  Differentiation(const Program& program, std::span<const std::uint32_t> buffers)
      : program_(program), builder_(with_declarations_of(program)), cotangents_(builder_, program.size()) {
    buffer_wanted_.resize(program.buffers().size());
    for (std::uint32_t slot : buffers) {
      FLEXJIT_CHECK(element_type(program.buffers()[slot].dtype) == Type::kFloat, "only buffers of floats have gradients");
      buffer_wanted_[slot] = true;
    }
    for (std::uint32_t i = 0; i < program.size(); ++i) {
      std::vector<Id> operands;
      for (Id operand : program.operands(Id{i})) operands.push_back(copies_[operand.index]);
      copies_.push_back(copy_node(builder_, program, Id{i}, operands));
      wanted_.push_back(is_wanted(Id{i}));
    }
  }

  Program run() && {
    Roots roots = program_.roots().of_copies(copies_);
    if (roots[Root::kScore].valid()) roots[Root::kScoreGrad] = pull_back();
    builder_.copy_marks(program_, copies_);
    for (Id id : accumulations_) builder_.add_accumulation(id);
    return std::move(builder_).finish(roots);
  }

 private:
  // Whether a gradient that is asked for goes through the node.
  bool is_wanted(Id id) const {
    const Node& node = program_.node(id);
    if (node.op == Op::kScore) return true;
    if (node.op == Op::kRead) return buffer_wanted_[program_.read(id).buffer];
    if (node.op == Op::kDot) return buffer_wanted_[program_.dot(id).buffer_a] || buffer_wanted_[program_.dot(id).buffer_b];
    if (node.type != Type::kFloat || is_constant_between_steps(node.op)) return false;
    return std::ranges::any_of(program_.operands(id), [&](Id operand) { return wanted_[operand.index]; });
  }

  // The gradient of the score that comes in; fills the accumulations, those of earlier reads first.
  Id pull_back() {
    cotangents_.add(program_.score(), {.condition = {}, .value = builder_.variable(Op::kScoreGrad)});
    Id score_grad = builder_.const_float(0);
    for (auto i = static_cast<std::uint32_t>(program_.size()); i-- > 0;) {
      if (!cotangents_.any(Id{i}) || !wanted_[i]) continue;
      const Op op = program_.node(Id{i}).op;
      if (op == Op::kScore) {
        score_grad = cotangents_.selected(Id{i});
      } else if (type_rule(op) == TypeRule::kVariadic) {
        accumulate(Id{i}, cotangents_.sum(Id{i}));
      } else {
        pass_on(Id{i}, cotangents_.sum(Id{i}));
      }
    }
    std::ranges::reverse(accumulations_);
    return score_grad;
  }

  void pass_on(Id id, const Cotangent& own) {
    std::vector<Id> values;
    for (Id operand : program_.operands(id)) values.push_back(copies_[operand.index]);
    const auto partials = partials_of(builder_, {program_.node(id).op, values, copies_[id.index]}, own.value);
    for (std::size_t i = 0; i < partials.size(); ++i) {
      const Id operand = program_.operand(id, static_cast<int>(i));
      if (!wanted_[operand.index]) continue;
      cotangents_.add(operand, {cotangents_.both(own.condition, partials[i].condition), partials[i].value});
    }
  }

  void accumulate(Id id, const Cotangent& own) {
    const auto operands = program_.operands(id);
    std::vector<Id> added = {cotangents_.guard(cotangents_.both(own.condition, copies_[operands[0].index])), own.value};
    for (Id index : operands.subspan(1)) added.push_back(copies_[index.index]);
    if (program_.node(id).op == Op::kRead) {
      accumulations_.push_back(builder_.accumulate(program_.read(id), added));
      return;
    }
    DotInfo dot = program_.dot(id);
    const bool wants_a = buffer_wanted_[dot.buffer_a], wants_b = buffer_wanted_[dot.buffer_b];
    const auto split = added.begin() + 1 + program_.buffers()[dot.buffer_a].rank;
    std::vector<Id> swapped(added.begin(), added.begin() + 2);
    swapped.insert(swapped.end(), split, added.end());
    swapped.insert(swapped.end(), added.begin() + 2, split);
    DotInfo of_b = dot;
    std::swap(of_b.buffer_a, of_b.buffer_b);
    if (wants_b) accumulations_.push_back(builder_.accumulate_row(of_b, swapped));
    if (wants_a) accumulations_.push_back(builder_.accumulate_row(dot, added));
  }

  const Program& program_;
  ProgramBuilder builder_;
  Cotangents cotangents_;
  std::vector<bool> buffer_wanted_;  // by slot
  std::vector<Id> copies_;           // by node: itself in the derivative
  std::vector<bool> wanted_;         // by node
  std::vector<Id> accumulations_;
};

}  // namespace

std::vector<std::uint32_t> differentiable_buffers(const Program& program) {
  const std::vector<bool> read = buffers_read_by(program, program.score());
  std::vector<std::uint32_t> slots;
  for (std::uint32_t slot = 0; slot < read.size(); ++slot) {
    if (read[slot] && element_type(program.buffers()[slot].dtype) == Type::kFloat) slots.push_back(slot);
  }
  return slots;
}

Program differentiate(const Program& program, std::span<const std::uint32_t> buffers) {
  FLEXJIT_CHECK(gradients_of(program).empty(), "a derivative has no derivative");
  return Differentiation(program, buffers).run();
}

}  // namespace flexjit::ir
