// Tables where one op says it, formulas where not.
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

// factor / (1 + exp(-x)), with the exponential of -|x| = min(x, -x), which cannot overflow: every result keeps its digits.
Id times_sigmoid(ProgramBuilder& builder, Id factor, Id x) {
  const Id power = builder.make(Op::kExp, {builder.make(Op::kMin, {x, builder.make(Op::kNeg, {x})})});
  const Id negative = builder.make(Op::kLt, {x, builder.const_float(0)});
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

}  // namespace

Op op_of(dsl::Builtin builtin) {
  switch (builtin) {
    case dsl::Builtin::kScore: return Op::kScore;
    case dsl::Builtin::kBatch: return Op::kBatch;
    case dsl::Builtin::kHead: return Op::kHead;
    case dsl::Builtin::kQIdx: return Op::kQIdx;
    case dsl::Builtin::kKvIdx: return Op::kKvIdx;
    case dsl::Builtin::kQLen: return Op::kQLen;
    case dsl::Builtin::kKvLen: return Op::kKvLen;
    case dsl::Builtin::kNumHeads: return Op::kNumHeads;
    case dsl::Builtin::kNumKvHeads: return Op::kNumKvHeads;
    case dsl::Builtin::kKvHead: return Op::kKvHead;
    case dsl::Builtin::kBatchSize: return Op::kBatchSize;
  }
  return Op::kConst;
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
  const auto as = [&](Op ir_op) { return builder.make(ir_op, operands); };
  switch (op) {
    case dsl::Operator::kNegate: return as(Op::kNeg);
    case dsl::Operator::kNot:
    case dsl::Operator::kBitNot: return as(Op::kNot);
    case dsl::Operator::kAdd: return as(Op::kAdd);
    case dsl::Operator::kSub: return as(Op::kSub);
    case dsl::Operator::kMul: return as(Op::kMul);
    case dsl::Operator::kDiv: return as(Op::kDiv);
    case dsl::Operator::kFloorDiv: return as(Op::kFloorDiv);
    case dsl::Operator::kMod: return as(Op::kMod);
    case dsl::Operator::kShiftLeft: return as(Op::kShl);
    case dsl::Operator::kShiftRight: return as(Op::kShr);
    case dsl::Operator::kBitAnd:
    case dsl::Operator::kAnd: return as(Op::kAnd);
    case dsl::Operator::kBitXor: return as(Op::kXor);
    case dsl::Operator::kBitOr:
    case dsl::Operator::kOr: return as(Op::kOr);
    case dsl::Operator::kEqual: return as(Op::kEq);
    case dsl::Operator::kNotEqual: return as(Op::kNe);
    case dsl::Operator::kLess: return as(Op::kLt);
    case dsl::Operator::kLessEqual: return as(Op::kLe);
    case dsl::Operator::kGreater: return as(Op::kGt);
    case dsl::Operator::kGreaterEqual: return as(Op::kGe);
    case dsl::Operator::kNone: break;
  }
  FLEXJIT_CHECK(false, "an operator without a spelling");
  return {};
}

// One line a function.
Id lower_function(ProgramBuilder& builder, dsl::Function function, std::span<const Id> operands) {
  const Id x = operands[0];
  const auto as = [&](Op op) { return builder.make(op, operands); };
  switch (function) {
    case dsl::Function::kAbs: return as(Op::kAbs);
    case dsl::Function::kMin: return lower_chain(builder, Op::kMin, operands);
    case dsl::Function::kMax: return lower_chain(builder, Op::kMax, operands);
    case dsl::Function::kClamp: return builder.make(Op::kMin, {builder.make(Op::kMax, {x, operands[1]}), operands[2]});
    case dsl::Function::kRelu: return builder.make(Op::kMax, {x, zero_like(builder, x)});
    case dsl::Function::kFloor: return as(Op::kFloor);
    case dsl::Function::kCeil: return as(Op::kCeil);
    case dsl::Function::kRound: return as(Op::kRound);
    case dsl::Function::kSqrt: return as(Op::kSqrt);
    case dsl::Function::kRsqrt: return builder.make(Op::kDiv, {builder.const_float(1), as(Op::kSqrt)});
    case dsl::Function::kExp: return as(Op::kExp);
    case dsl::Function::kExp2: return as(Op::kExp2);
    case dsl::Function::kLog: return as(Op::kLog);
    case dsl::Function::kLog2: return as(Op::kLog2);
    case dsl::Function::kLog1p: return as(Op::kLog1p);
    case dsl::Function::kTanh: return as(Op::kTanh);
    case dsl::Function::kSigmoid: return times_sigmoid(builder, builder.const_float(1), x);
    case dsl::Function::kErf: return as(Op::kErf);
    case dsl::Function::kGelu: return lower_gelu(builder, x);
    case dsl::Function::kSilu: return times_sigmoid(builder, above_minus_infinity(builder, x), x);
    case dsl::Function::kSin: return as(Op::kSin);
    case dsl::Function::kCos: return as(Op::kCos);
    case dsl::Function::kPow: return as(Op::kPow);
    case dsl::Function::kInt:
    case dsl::Function::kFloat:
    case dsl::Function::kBool:
    case dsl::Function::kWhere:
    case dsl::Function::kDot: break;
  }
  FLEXJIT_CHECK(false, "a function that is lowered as another node");
  return {};
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
