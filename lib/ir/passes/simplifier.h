// The builder behind simplify(): make() returns a node that equals `op operands` for every value and is in normal form. The
// rules of each operation are one function of a few lines, each line an identity; they are listed here and live in
// simplify_arithmetic.cpp and simplify_logic.cpp.
#pragma once

#include <optional>

#include "ir/passes/rewrite.h"

namespace flexjit::ir {

class Simplifier {
 public:
  explicit Simplifier(const Program& program) : builder_(with_declarations_of(program)) {}

  Id make(Op op, std::initializer_list<Id> operands) {
    return make(op, std::span<const Id>(operands.begin(), operands.size()));
  }
  Id make(Op op, std::span<const Id> operands);
  Id copy(const Program& program, Id id, std::span<const Id> operands) { return copy_node(builder_, program, id, operands); }
  Id constant(std::int32_t value) { return builder_.const_int(value); }
  Id constant(double value) { return builder_.const_float(value); }
  Id constant(bool value) { return builder_.const_bool(value); }
  Id zero(Type type);
  Id integer(Type type, std::int64_t value);  // an int or a long
  void copy_marks(const Program& program, std::span<const Id> copies) { builder_.copy_marks(program, copies); }
  void copy_accumulations(const Program& program, std::span<const Id> copies) { builder_.copy_accumulations(program, copies); }
  Program finish(const Roots& roots) && { return std::move(builder_).finish(roots); }

  const Program& program() const { return builder_.program(); }
  Type type(Id id) const { return program().node(id).type; }
  bool is(Id id, Op op) const { return program().node(id).op == op; }
  bool is_const(Id id) const { return is(id, Op::kConst); }
  bool is(Id id, std::int32_t value) const;  // an int or a long
  bool is(Id id, double value) const;        // the same bits: 0 is not -0
  bool is(Id id, bool value) const;
  std::optional<std::int64_t> int_value(Id id) const;  // of an int or a long
  std::optional<double> float_value(Id id) const;
  Id operand(Id id, int i) const { return program().operand(id, i); }
  bool has_operand(Id id, Op op, Id operand) const;  // `id` is `op` with `operand` on either side

  // An order of expressions that does not depend on the order in which they were written.
  bool before(Id a, Id b);

 private:
  std::uint64_t structure(Id id);
  ProgramBuilder builder_;
  std::vector<std::uint64_t> structure_;  // hash of the whole expression, by id
};

using Rewritten = std::optional<Id>;

// The value of an operation on constants, rounded as at run time.
Rewritten fold_constants(Simplifier& s, Op op, std::span<const Id> operands);

Rewritten simplify_neg(Simplifier& s, Id a);
Rewritten simplify_add(Simplifier& s, Id a, Id b);
Rewritten simplify_sub(Simplifier& s, Id a, Id b);
Rewritten simplify_mul(Simplifier& s, Id a, Id b);
Rewritten simplify_div(Simplifier& s, Id a, Id b);
Rewritten simplify_floor_div(Simplifier& s, Id a, Id b);
Rewritten simplify_mod(Simplifier& s, Id a, Id b);
Rewritten simplify_min(Simplifier& s, Id a, Id b);
Rewritten simplify_max(Simplifier& s, Id a, Id b);
Rewritten simplify_abs(Simplifier& s, Id a);
Rewritten simplify_rounding(Simplifier& s, Id a);  // floor, ceil, round
Rewritten simplify_pow(Simplifier& s, Id a, Id b);

Rewritten simplify_and(Simplifier& s, Id a, Id b);
Rewritten simplify_or(Simplifier& s, Id a, Id b);
Rewritten simplify_xor(Simplifier& s, Id a, Id b);
Rewritten simplify_not(Simplifier& s, Id a);
Rewritten simplify_shl(Simplifier& s, Id a, Id b);
Rewritten simplify_shr(Simplifier& s, Id a, Id b);
Rewritten simplify_eq(Simplifier& s, Id a, Id b);
Rewritten simplify_ne(Simplifier& s, Id a, Id b);
Rewritten simplify_lt(Simplifier& s, Id a, Id b);
Rewritten simplify_le(Simplifier& s, Id a, Id b);
Rewritten simplify_select(Simplifier& s, Id c, Id a, Id b);

}  // namespace flexjit::ir
