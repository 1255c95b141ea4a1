// Every op of ops.def on every type that it takes, each as the program of one value: for tests that no part forgets an op.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ir/program/program.h"
#include "support/check.h"

namespace flexjit::test {

struct OpOfType {
  std::string name;  // "add of int64"
  ir::Program program;
};

// None where the op does not take this type. A bool is the mask, every other value is added to the score.
inline std::optional<ir::Program> program_of(ir::Op op, ir::Type type) {
  using ir::Id;
  using ir::Op;
  ir::ProgramBuilder b;
  const auto value = [&](Op index, ir::Type of) {
    const Id id = b.variable(index);
    switch (of) {
      case ir::Type::kInt: return id;
      case ir::Type::kFloat: return b.make(Op::kIntToFloat, {id});
      case ir::Type::kBool: return b.make(Op::kLt, {id, b.const_int(3)});
      case ir::Type::kLong: return b.make(Op::kIntToLong, {id});
    }
    return id;
  };
  std::vector<Id> operands = {value(Op::kKvIdx, type), value(Op::kQIdx, type)};
  if (ir::operand_count(op) == 1) operands.pop_back();
  const bool is_choice = ir::type_rule(op) == ir::TypeRule::kChoice;
  if (ir::operand_count(op) == 3) operands.insert(operands.begin(), value(Op::kHead, is_choice ? ir::Type::kBool : type));
  while (static_cast<int>(operands.size()) < ir::operand_count(op)) operands.push_back(value(Op::kBatch, type));
  Id made;
  try {
    made = b.make(op, operands);
  } catch (const support::InternalError&) {
    return std::nullopt;
  }
  const ir::Type result = b.program().node(made).type;
  if (result == ir::Type::kBool) return std::move(b).finish(Id{}, made);
  if (result != ir::Type::kFloat) made = b.make(Op::kIntToFloat, {made});
  return std::move(b).finish(b.make(Op::kAdd, {b.variable(Op::kScore), made}), Id{});
}

// Of the ops that have operands, without reads and dots.
inline std::vector<OpOfType> every_op() {
  std::vector<OpOfType> all;
  for (int i = 0; i < ir::kOpCount; ++i) {
    const auto op = static_cast<ir::Op>(i);
    for (ir::Type type : {ir::Type::kInt, ir::Type::kFloat, ir::Type::kBool, ir::Type::kLong}) {
      if (ir::operand_count(op) <= 0) continue;
      const std::string name = std::string(ir::mnemonic(op)) + " of " + std::string(ir::name_of(type));
      if (auto program = program_of(op, type)) all.push_back({name, *std::move(program)});
    }
  }
  return all;
}

}  // namespace flexjit::test
