// By name where ops.def has an op of that name or symbol, formulas where not. What is differentiated are these formulas, so
// that at a kink they have the derivative that the function is to have: where the sides of a min or max are equal each of them
// gets half.
#include "ir/lower/lower_functions.h"

#include <limits>
#include <numbers>
#include <optional>

#include "support/check.h"

namespace flexjit::ir {
namespace {

// x where it is finite: 0 times -inf must not arise where a limit of 0 is meant. NaN stays NaN.
Id above_minus_infinity(ProgramBuilder& builder, Id x) {
  const bool is_fp32 = builder.program().precision() == Precision::kFp32;
  const double lowest = is_fp32 ? std::numeric_limits<float>::lowest() : std::numeric_limits<double>::lowest();
  return builder.make(Op::kMax, {builder.const_float(lowest), x});
}

// factor / (1 + exp(-x)), with the exponential of -|x|, which cannot overflow: every result keeps its digits. A choice, as
// neither
// -|x| nor min(x, -x) has the derivative of one of its sides at 0.
Id times_sigmoid(ProgramBuilder& builder, Id factor, Id x) {
  const Id negative = builder.make(Op::kLt, {x, builder.const_float(0)});
  const Id power = builder.make(Op::kExp, {builder.make(Op::kSelect, {negative, x, builder.make(Op::kNeg, {x})})});
  const Id numerator = builder.make(Op::kSelect, {negative, builder.make(Op::kMul, {factor, power}), factor});
  return builder.make(Op::kDiv, {numerator, builder.make(Op::kAdd, {builder.const_float(1), power})});
}

Id lower_gelu(ProgramBuilder& builder, Id x) {
  const Id scaled = builder.make(Op::kDiv, {x, builder.const_float(std::numbers::sqrt2)});
  const Id cumulative = builder.make(Op::kAdd, {builder.const_float(1), builder.make(Op::kErf, {scaled})});
  return builder.make(Op::kMul,
                      {builder.make(Op::kMul, {builder.const_float(0.5), above_minus_infinity(builder, x)}), cumulative});
}

Id lower_chain(ProgramBuilder& builder, Op op, std::span<const Id> operands) {
  Id result = operands[0];
  for (Id operand : operands.subspan(1)) result = builder.make(op, {result, operand});
  return result;
}

Id zero_like(ProgramBuilder& builder, Id id) {
  const Type type = builder.program().node(id).type;
  if (type == Type::kLong) return builder.const_long(0);
  return type == Type::kInt ? builder.const_int(0) : builder.const_float(0);
}

// max(x, 0); of floats a choice, whose derivative at 0 is that of 0.
Id lower_relu(ProgramBuilder& builder, Id x) {
  const Id zero = zero_like(builder, x);
  if (builder.program().node(x).type != Type::kFloat) return builder.make(Op::kMax, {x, zero});
  return builder.make(Op::kSelect, {builder.make(Op::kGt, {x, zero}), x, zero});
}

// Of a function that is no op of its own, or none of these types.
Id lower_formula(ProgramBuilder& builder, dsl::Function function, std::span<const Id> x) {
  if (function == dsl::Function::kClamp) return builder.make(Op::kMin, {builder.make(Op::kMax, {x[0], x[1]}), x[2]});
  if (function == dsl::Function::kRelu) return lower_relu(builder, x[0]);
  if (function == dsl::Function::kRsqrt) return builder.make(Op::kDiv, {builder.const_float(1), builder.make(Op::kSqrt, x)});
  if (function == dsl::Function::kSigmoid) return times_sigmoid(builder, builder.const_float(1), x[0]);
  if (function == dsl::Function::kGelu) return lower_gelu(builder, x[0]);
  if (function == dsl::Function::kSilu) return times_sigmoid(builder, above_minus_infinity(builder, x[0]), x[0]);
  FLEXJIT_CHECK(false, std::string(dsl::info_of(function).name) + " is neither an op nor a formula");
  return {};
}

}  // namespace

Op op_of(dsl::Builtin builtin) {
  const auto op = find_op(dsl::builtin_name(builtin), 0);
  FLEXJIT_CHECK(op.has_value(), std::string(dsl::builtin_name(builtin)));
  return *op;
}

Id lower_builtin(ProgramBuilder& builder, dsl::Builtin builtin) {
  const auto sum = [&](Op index, Op offset) {
    return builder.make(Op::kAdd, {builder.variable(index), builder.variable(offset)});
  };
  if (builtin == dsl::Builtin::kQGlobal) return sum(Op::kQIdx, Op::kQOffset);
  if (builtin == dsl::Builtin::kKvGlobal) return sum(Op::kKvIdx, Op::kKvOffset);
  return builder.variable(op_of(builtin));
}

Type type_of(dsl::Type type) {
  switch (type) {
    case dsl::Type::kInt: return Type::kInt;
    case dsl::Type::kFloat: return Type::kFloat;
    case dsl::Type::kBool: return Type::kBool;
    case dsl::Type::kLong: return Type::kLong;
  }
  return Type::kInt;
}

Id lower_operator(ProgramBuilder& builder, dsl::Operator op, std::span<const Id> operands) {
  const auto found = find_op(dsl::spelling_of(op), operands.size());
  FLEXJIT_CHECK(found.has_value(), std::string(dsl::spelling_of(op)));
  return builder.make(*found, operands);
}

Id lower_function(ProgramBuilder& builder, dsl::Function function, std::span<const Id> operands) {
  const dsl::FunctionInfo& info = dsl::info_of(function);
  const auto op = find_op(info.name, info.min_arguments);
  const bool is_int_clamp = op == Op::kClamp && builder.program().node(operands[0]).type != Type::kFloat;
  if (!op || is_int_clamp) return lower_formula(builder, function, operands);
  const bool at_once = operands.size() == static_cast<std::size_t>(operand_count(*op));
  return at_once ? builder.make(*op, operands) : lower_chain(builder, *op, operands);
}

Id lower_conversion(ProgramBuilder& builder, Type to, Id operand) {
  const Type from = builder.program().node(operand).type;
  if (from == to) return operand;
  const Id number = from == Type::kBool ? builder.make(Op::kBoolToInt, {operand}) : operand;
  if (to == Type::kFloat) return builder.make(Op::kIntToFloat, {number});
  if (to == Type::kLong) return builder.make(Op::kIntToLong, {number});
  if (from == Type::kLong) return builder.make(Op::kLongToInt, {number});
  return from == Type::kFloat ? builder.make(Op::kFloatToInt, {number}) : number;
}

}  // namespace flexjit::ir
