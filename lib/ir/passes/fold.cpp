// An operation on constants -> its value, by the same evaluation that the interpreter runs.
#include "ir/evaluate/lanes.h"
#include "ir/passes/simplifier.h"

namespace flexjit::ir {
namespace {

Lanes lanes_of(const Program& program, Id id) {
  switch (program.node(id).type) {
    case Type::kInt: return {.f = {}, .i = {program.const_int(id)}, .l = {}};
    case Type::kFloat: return {.f = {program.const_float(id)}, .i = {}, .l = {}};
    case Type::kBool: return {.f = {}, .i = {program.const_bool(id) ? 1 : 0}, .l = {}};
    case Type::kLong: return {.f = {}, .i = {}, .l = {program.const_long(id)}};
  }
  return {};
}

Type result_type(const Program& program, Op op, Id last_operand) {
  const TypeRule rule = type_rule(op);
  if (rule == TypeRule::kCompare || rule == TypeRule::kEqual) return Type::kBool;
  if (rule == TypeRule::kIntToFloat || rule == TypeRule::kRandom) return Type::kFloat;
  if (rule == TypeRule::kFloatToInt || rule == TypeRule::kBoolToInt || rule == TypeRule::kLongToInt) return Type::kInt;
  if (rule == TypeRule::kIntToLong) return Type::kLong;
  return program.node(last_operand).type;
}

}  // namespace

Rewritten fold_constants(Simplifier& s, Op op, std::span<const Id> operands) {
  std::array<Lanes, kMaxOperands> values;
  LaneOperation operation{.op = op, .operand_type = s.type(operands.back()), .precision = s.program().precision()};
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (!s.is_const(operands[i])) return std::nullopt;
    values[i] = lanes_of(s.program(), operands[i]);
    operation.operands[i] = &values[i];
  }
  Lanes out{.f = {0.0}, .i = {0}, .l = {0}};
  evaluate(operation, out, 1);
  switch (result_type(s.program(), op, operands.back())) {
    case Type::kInt: return s.constant(out.i[0]);
    case Type::kFloat: return s.constant(out.f[0]);
    case Type::kBool: return s.constant(out.i[0] != 0);
    case Type::kLong: return s.integer(Type::kLong, out.l[0]);
  }
  return std::nullopt;
}

}  // namespace flexjit::ir
