// One node -> its instructions, by family. Operands of different shapes are matched by the emitter.
#include <array>
#include <limits>

#include "codegen/math/unit_float.h"
#include "codegen/math/vector_math.h"
#include "codegen/program/expression.h"
#include "support/check.h"

namespace flexjit::codegen {
namespace {

using ir::Id;
using ir::Op;
using Predicate = llvm::CmpInst::Predicate;

std::string not_emitted(Op op) { return std::string(ir::mnemonic(op)) + " has no instructions"; }

llvm::Value* float_arithmetic(Emitter& e, Op op, Float a, Float b) {
  if (op == Op::kNeg) return e.neg(a).value;
  if (op == Op::kAbs) return e.abs(a).value;
  if (op == Op::kAdd) return e.add(a, b).value;
  if (op == Op::kSub) return e.sub(a, b).value;
  if (op == Op::kMul) return e.mul(a, b).value;
  if (op == Op::kFloorDiv) return emit_floor_div(e, a, b).value;
  if (op == Op::kMod) return emit_floor_mod(e, a, b).value;
  if (op == Op::kMin) return e.min(a, b).value;
  FLEXJIT_CHECK(op == Op::kMax, not_emitted(op));
  return e.max(a, b).value;
}

llvm::Value* int_arithmetic(Emitter& e, Op op, Int a, Int b) {
  const Int zero = e.constant_like(a, 0);
  if (op == Op::kNeg) return e.sub(zero, a).value;
  if (op == Op::kAbs) return e.select(e.compare(Predicate::ICMP_SLT, a, zero), e.sub(zero, a), a).value;
  if (op == Op::kAdd) return e.add(a, b).value;
  if (op == Op::kSub) return e.sub(a, b).value;
  if (op == Op::kMul) return e.mul(a, b).value;
  if (op == Op::kFloorDiv) return emit_floor_div(e, a, b).value;
  if (op == Op::kMod) return emit_floor_mod(e, a, b).value;
  if (op == Op::kMin) return e.select(e.compare(Predicate::ICMP_SLT, a, b), a, b).value;
  FLEXJIT_CHECK(op == Op::kMax, not_emitted(op));
  return e.select(e.compare(Predicate::ICMP_SGT, a, b), a, b).value;
}

struct Comparison {
  FloatOrder order;
  Predicate predicate;
};

Comparison comparison_of(Op op) {
  if (op == Op::kEq) return {FloatOrder::kEq, Predicate::ICMP_EQ};
  if (op == Op::kNe) return {FloatOrder::kNe, Predicate::ICMP_NE};
  if (op == Op::kLt) return {FloatOrder::kLt, Predicate::ICMP_SLT};
  if (op == Op::kLe) return {FloatOrder::kLe, Predicate::ICMP_SLE};
  if (op == Op::kGt) return {FloatOrder::kGt, Predicate::ICMP_SGT};
  FLEXJIT_CHECK(op == Op::kGe, not_emitted(op));
  return {FloatOrder::kGe, Predicate::ICMP_SGE};
}

}  // namespace

llvm::Value* ExpressionEmitter::arithmetic(const Scope& scope, Id id) {
  const auto operands = program_.operands(id);
  llvm::Value* a = scope.value[operands.front().index];
  llvm::Value* b = scope.value[operands.back().index];
  const Op op = program_.node(id).op;
  return program_.node(id).type == ir::Type::kFloat ? float_arithmetic(e_, op, Float{a}, Float{b})
                                                    : int_arithmetic(e_, op, Int{a}, Int{b});
}

llvm::Value* ExpressionEmitter::logic(const Scope& scope, Id id) {
  const auto operands = program_.operands(id);
  const Op op = program_.node(id).op;
  llvm::Value* a = scope.value[operands[0].index];
  llvm::Value* b = scope.value[operands.back().index];
  if (program_.node(id).type == ir::Type::kBool) {
    if (op == Op::kAnd) return e_.logical_and(Bool{a}, Bool{b}).value;
    if (op == Op::kOr) return e_.logical_or(Bool{a}, Bool{b}).value;
    if (op == Op::kXor) return e_.logical_xor(Bool{a}, Bool{b}).value;
    FLEXJIT_CHECK(op == Op::kNot, not_emitted(op));
    return e_.logical_not(Bool{a}).value;
  }
  if (op == Op::kAnd) return e_.bit_and(Int{a}, Int{b}).value;
  if (op == Op::kOr) return e_.bit_or(Int{a}, Int{b}).value;
  if (op == Op::kXor) return e_.bit_xor(Int{a}, Int{b}).value;
  if (op == Op::kNot) return e_.bit_xor(Int{a}, e_.constant_like(Int{a}, -1)).value;
  const Int amount = e_.bit_and(Int{b}, e_.constant_like(Int{b}, Emitter::is_long(Int{b}) ? 63 : 31));
  if (op == Op::kShl) return e_.shl(Int{a}, amount).value;
  FLEXJIT_CHECK(op == Op::kShr, not_emitted(op));
  return e_.shr(Int{a}, amount).value;
}

llvm::Value* ExpressionEmitter::select(const Scope& scope, Id id) {
  const auto operands = program_.operands(id);
  const Bool condition{scope.value[operands[0].index]};
  llvm::Value* a = scope.value[operands[1].index];
  llvm::Value* b = scope.value[operands[2].index];
  switch (program_.node(id).type) {
    case ir::Type::kFloat: return e_.select(condition, Float{a}, Float{b}).value;
    case ir::Type::kInt:
    case ir::Type::kLong: return e_.select(condition, Int{a}, Int{b}).value;
    case ir::Type::kBool: return e_.select(condition, Bool{a}, Bool{b}).value;
  }
  return nullptr;
}

llvm::Value* ExpressionEmitter::comparison(const Scope& scope, Id id) {
  const auto operands = program_.operands(id);
  const auto [order, predicate] = comparison_of(program_.node(id).op);
  llvm::Value* a = scope.value[operands[0].index];
  llvm::Value* b = scope.value[operands[1].index];
  if (only_compared_[operands[0].index]) return is_unit_below(e_, Int{a}, threshold_[operands[1].index]).value;
  switch (program_.node(operands[0]).type) {
    case ir::Type::kFloat: return e_.compare(order, Float{a}, Float{b}).value;
    case ir::Type::kInt:
    case ir::Type::kLong: return e_.compare(predicate, Int{a}, Int{b}).value;
    case ir::Type::kBool: {
      const Bool differ = e_.logical_xor(Bool{a}, Bool{b});
      return order == FloatOrder::kNe ? differ.value : e_.logical_not(differ).value;
    }
  }
  return nullptr;
}

llvm::Value* ExpressionEmitter::conversion(const Scope& scope, Id id) {
  llvm::Value* a = scope.value[program_.operand(id, 0).index];
  const Op op = program_.node(id).op;
  if (op == Op::kIntToFloat) return e_.to_real(Int{a}).value;
  if (op == Op::kFloatToInt) return emit_float_to_int(e_, Float{a}).value;
  if (op == Op::kIntToLong) return e_.to_long(Int{a}).value;
  if (op == Op::kLongToInt) return e_.saturated(Int{a}).value;
  FLEXJIT_CHECK(op == Op::kBoolToInt, not_emitted(op));
  return e_.to_int(Bool{a}).value;
}

PhiloxOperands ExpressionEmitter::philox_operands(const Scope& scope, Id id) const {
  const auto operands = program_.operands(id);
  const auto x = [&](std::size_t i) { return Int{scope.value[operands[i].index]}; };
  PhiloxOperands all{{x(0), x(1), x(2), x(3)}, {x(4), x(5)}, scope.outside};
  all.outermost = uniform_block_;
  for (Id operand : operands)
    if (hoisting_.level[operand.index] == plan::Level::kUniform) all.uniform.insert(scope.value[operand.index]);
  return all;
}

// kv_idx is what lanes run along, from a multiple of their number on.
Int ExpressionEmitter::random_word(const Scope& scope, Id id) {
  const auto operands = program_.operands(id);
  const auto is_vector = [&](std::size_t i) { return Emitter::is_vector(scope.value[operands[i].index]); };
  const bool varies = llvm::any_of(std::array<std::size_t, 5>{0, 2, 3, 4, 5}, is_vector);
  const bool neighbours = program_.node(operands[1]).op == Op::kKvIdx && is_vector(1) && !varies && e_.lanes() % 4 == 0;
  const PhiloxOperands all = philox_operands(scope, id);
  const Op op = program_.node(id).op;
  if (op == Op::kPhilox) return neighbours ? emit_philox_of_neighbours(e_, all) : emit_philox(e_, all);
  FLEXJIT_CHECK(op == Op::kPhiloxOfFour, not_emitted(op));
  if (!neighbours) return emit_philox_of_four(e_, all);
  const auto [word, following] = emit_philox_of_four_neighbours(e_, all);
  if (scope.following != nullptr) (*scope.following)[id.index] = as_random(id, following);
  return word;
}

// One that is only compared stays a word.
llvm::Value* ExpressionEmitter::as_random(Id id, Int word) {
  return only_compared_[id.index] ? word.value : e_.to_real(unit_float(e_, word)).value;
}

llvm::Value* ExpressionEmitter::random(const Scope& scope, Id id) { return as_random(id, random_word(scope, id)); }

llvm::Value* ExpressionEmitter::function(const Scope& scope, Id id) {
  const auto operands = program_.operands(id);
  const Op op = program_.node(id).op;
  const Float a{scope.value[operands.front().index]};
  const Float b{scope.value[operands.back().index]};
  if (op == Op::kDiv) return e_.div(a, b).value;
  if (op == Op::kClamp) return e_.min(e_.max(a, Float{scope.value[operands[1].index]}), b).value;
  if (op == Op::kFloor) return emit_floor(e_, a).value;
  if (op == Op::kCeil) return emit_ceil(e_, a).value;
  if (op == Op::kRound) return emit_round(e_, a).value;
  if (op == Op::kSqrt) return e_.sqrt(a).value;
  if (op == Op::kExp) return emit_exp(e_, a).value;
  if (op == Op::kExp2) return emit_exp2(e_, a).value;
  if (op == Op::kLog) return emit_log(e_, a).value;
  if (op == Op::kLog2) return emit_log2(e_, a).value;
  if (op == Op::kLog1p) return emit_log1p(e_, a).value;
  if (op == Op::kTanh) return emit_tanh(e_, a).value;
  if (op == Op::kErf) return emit_erf(e_, a).value;
  if (op == Op::kSin) return emit_sin(e_, a).value;
  if (op == Op::kCos) return emit_cos(e_, a).value;
  FLEXJIT_CHECK(op == Op::kPow, not_emitted(op));
  return emit_pow(e_, a, b).value;
}

}  // namespace flexjit::codegen
