// Masks written with C++ operators, so that a test reads like the text of a pattern without going through the parser.
#pragma once

#include <initializer_list>
#include <vector>

#include "ir/program/program.h"

namespace flexjit::test {

struct Expression {
  ir::ProgramBuilder* builder;
  ir::Id id;
};

inline Expression apply(ir::Op op, Expression a, Expression b) { return {a.builder, a.builder->make(op, {a.id, b.id})}; }
inline Expression literal(Expression like, int value) { return {like.builder, like.builder->const_int(value)}; }

// `/` and `%` are floor division and floor modulo of ints; `&` and `|` stand for the bools' and, or.
#define FLEXJIT_TEST_OPERATOR(symbol, op)                                                           \
  inline Expression operator symbol(Expression a, Expression b) { return apply(ir::Op::op, a, b); } \
  inline Expression operator symbol(Expression a, int b) { return apply(ir::Op::op, a, literal(a, b)); }
FLEXJIT_TEST_OPERATOR(+, kAdd)
FLEXJIT_TEST_OPERATOR(-, kSub)
FLEXJIT_TEST_OPERATOR(*, kMul)
FLEXJIT_TEST_OPERATOR(/, kFloorDiv)
FLEXJIT_TEST_OPERATOR(%, kMod)
FLEXJIT_TEST_OPERATOR(<, kLt)
FLEXJIT_TEST_OPERATOR(<=, kLe)
FLEXJIT_TEST_OPERATOR(>, kGt)
FLEXJIT_TEST_OPERATOR(>=, kGe)
FLEXJIT_TEST_OPERATOR(==, kEq)
FLEXJIT_TEST_OPERATOR(&, kAnd)
FLEXJIT_TEST_OPERATOR(|, kOr)
#undef FLEXJIT_TEST_OPERATOR

inline Expression operator!(Expression a) { return {a.builder, a.builder->make(ir::Op::kNot, {a.id})}; }
inline Expression abs(Expression a) { return {a.builder, a.builder->make(ir::Op::kAbs, {a.id})}; }
inline Expression clamp(Expression a, int lo, int hi) {
  return apply(ir::Op::kMin, apply(ir::Op::kMax, a, literal(a, lo)), literal(a, hi));
}
inline Expression select(Expression c, Expression a, Expression b) {
  return {c.builder, c.builder->make(ir::Op::kSelect, {c.id, a.id, b.id})};
}

// The positions, and reads of buffers that are always taken.
struct Names {
  ir::ProgramBuilder builder;
  Expression b = variable(ir::Op::kBatch), h = variable(ir::Op::kHead);
  Expression q = variable(ir::Op::kQIdx), kv = variable(ir::Op::kKvIdx);

  Names() = default;
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;

  Expression variable(ir::Op op) { return {&builder, builder.variable(op)}; }
  Expression constant(bool value) { return {&builder, builder.const_bool(value)}; }
  Expression param(ir::Type type) { return {&builder, builder.param(builder.add_param(type))}; }
  Expression read_guarded(std::uint32_t buffer, Expression guard, std::initializer_list<Expression> index) {
    std::vector<ir::Id> operands = {guard.id};
    for (const Expression& i : index) operands.push_back(i.id);
    return {&builder, builder.read({.buffer = buffer, .site = buffer, .checked = true}, operands)};
  }
  Expression read(std::uint32_t buffer, std::initializer_list<Expression> index) {
    return read_guarded(buffer, constant(true), index);
  }
  ir::Program mask(Expression root) && { return std::move(builder).finish(ir::Id{}, root.id); }
};

}  // namespace flexjit::test
