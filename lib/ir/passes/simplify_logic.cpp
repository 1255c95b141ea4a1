// Identities of & | ^ ~ shifts, comparisons and choices, for ints as bit vectors and for bools. Comparisons keep only < and <=,
// and an int compared with a constant only <=, so that `d > -1` and `d >= 0` are one node. A negated float comparison stays:
// with a NaN both a < b and a >= b are false.
#include <algorithm>
#include <array>
#include <limits>

#include "ir/evaluate/arithmetic.h"
#include "ir/passes/simplifier.h"

namespace flexjit::ir {
namespace {

bool is_all_ones(const Simplifier& s, Id id) { return s.is(id, -1) || s.is(id, true); }
bool is_zero(const Simplifier& s, Id id) { return s.is(id, 0) || s.is(id, false); }

// Whether `term` is one of the terms of the chain `op(op(x, y), z)...`. The walk is bounded, so that a long chain of distinct
// terms costs linear time.
bool has_term(const Simplifier& s, Op op, Id chain, Id term) {
  constexpr int kMaxTerms = 64;
  std::array<Id, kMaxTerms> stack{};
  int depth = 0;
  stack[0] = chain;
  for (int visited = 0; depth >= 0 && visited < kMaxTerms; ++visited) {
    const Id id = stack[static_cast<std::size_t>(depth--)];
    if (id == term) return true;
    if (!s.is(id, op) || depth + 2 >= kMaxTerms) continue;
    stack[static_cast<std::size_t>(++depth)] = s.operand(id, 0);
    stack[static_cast<std::size_t>(++depth)] = s.operand(id, 1);
  }
  return false;
}

// What & and | share; `dual` is the other of the two.
Rewritten simplify_lattice(Simplifier& s, Op op, Op dual, Id a, Id b) {
  if (has_term(s, op, a, b) || has_term(s, dual, b, a)) return a;  // a & a, (a & x) & a, a & (a | x)
  if (has_term(s, op, b, a) || has_term(s, dual, a, b)) return b;
  if (s.is_const(b) && s.is(a, op) && s.is_const(s.operand(a, 1))) {
    return s.make(op, {s.operand(a, 0), s.make(op, {s.operand(a, 1), b})});
  }
  return std::nullopt;
}

}  // namespace

Rewritten simplify_and(Simplifier& s, Id a, Id b) {
  if (is_all_ones(s, b)) return a;
  if (is_zero(s, b)) return b;
  if (s.make(Op::kNot, {a}) == b) return s.zero(s.type(a));
  return simplify_lattice(s, Op::kAnd, Op::kOr, a, b);
}

Rewritten simplify_or(Simplifier& s, Id a, Id b) {
  if (is_zero(s, b)) return a;
  if (is_all_ones(s, b)) return b;
  if (s.make(Op::kNot, {a}) == b) return s.make(Op::kNot, {s.zero(s.type(a))});
  return simplify_lattice(s, Op::kOr, Op::kAnd, a, b);
}

Rewritten simplify_xor(Simplifier& s, Id a, Id b) {
  if (a == b) return s.zero(s.type(a));
  if (is_zero(s, b)) return a;
  if (is_all_ones(s, b)) return s.make(Op::kNot, {a});
  if (s.has_operand(a, Op::kXor, b)) return s.operand(a, s.operand(a, 0) == b ? 1 : 0);  // (x ^ b) ^ b = x
  if (s.has_operand(b, Op::kXor, a)) return s.operand(b, s.operand(b, 0) == a ? 1 : 0);
  if (s.is_const(b) && s.is(a, Op::kXor) && s.is_const(s.operand(a, 1))) {
    return s.make(Op::kXor, {s.operand(a, 0), s.make(Op::kXor, {s.operand(a, 1), b})});
  }
  return std::nullopt;
}

Rewritten simplify_not(Simplifier& s, Id a) {
  if (s.is(a, Op::kNot)) return s.operand(a, 0);
  if (s.is(a, Op::kEq)) return s.make(Op::kNe, {s.operand(a, 0), s.operand(a, 1)});
  if (s.is(a, Op::kNe)) return s.make(Op::kEq, {s.operand(a, 0), s.operand(a, 1)});
  const bool int_order = (s.is(a, Op::kLt) || s.is(a, Op::kLe)) && is_int(s.type(s.operand(a, 0)));
  if (int_order) return s.make(s.is(a, Op::kLt) ? Op::kLe : Op::kLt, {s.operand(a, 1), s.operand(a, 0)});
  return std::nullopt;
}

Rewritten simplify_shl(Simplifier& s, Id a, Id b) {
  if (s.is(a, 0)) return a;
  if (const auto count = s.int_value(b)) {
    const std::int64_t factor =
        s.type(a) == Type::kLong ? shift_left(std::int64_t{1}, *count) : shift_left(1, static_cast<std::int32_t>(*count));
    return s.make(Op::kMul, {a, s.integer(s.type(a), factor)});
  }
  return std::nullopt;
}

Rewritten simplify_shr(Simplifier& s, Id a, Id b) {
  if (s.is(a, 0) || s.is(a, -1)) return a;
  const auto count = s.int_value(b);
  if (!count) return std::nullopt;
  const std::int64_t most = s.type(a) == Type::kLong ? kCountMask<std::int64_t> : kCountMask<std::int32_t>;
  const std::int64_t used = *count & most;
  if (used == 0) return a;
  if (used != *count) return s.make(Op::kShr, {a, s.integer(s.type(a), used)});
  if (const auto inner = s.is(a, Op::kShr) ? s.int_value(s.operand(a, 1)) : std::nullopt) {
    return s.make(Op::kShr, {s.operand(a, 0), s.integer(s.type(a), std::min(most, used + *inner))});  // (x >> c1) >> c2
  }
  return std::nullopt;
}

namespace {

// == of ints and bools; != is its negation.
Rewritten simplify_exact_equality(Simplifier& s, Id a, Id b) {
  if (a == b) return s.constant(true);
  if (s.is(b, true)) return a;
  if (s.is(b, false)) return s.make(Op::kNot, {a});
  if (s.is(a, Op::kBoolToInt) && s.is_const(b)) {
    if (s.is(b, 1)) return s.operand(a, 0);
    return s.is(b, 0) ? s.make(Op::kNot, {s.operand(a, 0)}) : s.constant(false);
  }
  if (s.is(b, 0) && s.is(a, Op::kSub)) return s.make(Op::kEq, {s.operand(a, 0), s.operand(a, 1)});  // x - y == 0
  if (s.is_const(b) && s.is(a, Op::kAdd) && s.is_const(s.operand(a, 1))) {  // x + c1 == c2: x == c2 - c1
    return s.make(Op::kEq, {s.operand(a, 0), s.make(Op::kSub, {b, s.operand(a, 1)})});
  }
  return std::nullopt;
}

}  // namespace

Rewritten simplify_eq(Simplifier& s, Id a, Id b) {
  return s.type(a) == Type::kFloat ? std::nullopt : simplify_exact_equality(s, a, b);
}

Rewritten simplify_ne(Simplifier& s, Id a, Id b) {
  if (s.type(a) == Type::kFloat) return std::nullopt;
  const Rewritten equal = simplify_exact_equality(s, a, b);
  return equal ? Rewritten(s.make(Op::kNot, {*equal})) : std::nullopt;
}

namespace {

// The most of the type of `id`; the least is ~most.
std::int64_t most_of(const Simplifier& s, Id id) {
  return s.type(id) == Type::kLong ? std::numeric_limits<std::int64_t>::max() : kInt32Max;
}

}  // namespace

Rewritten simplify_lt(Simplifier& s, Id a, Id b) {
  if (a == b) return s.constant(false);
  if (const auto bound = s.int_value(b)) {  // a < c is a <= c - 1
    return *bound == ~most_of(s, b) ? s.constant(false) : s.make(Op::kLe, {a, s.integer(s.type(b), *bound - 1)});
  }
  if (const auto bound = s.int_value(a)) {  // c < b is c + 1 <= b
    return *bound == most_of(s, a) ? s.constant(false) : s.make(Op::kLe, {s.integer(s.type(a), *bound + 1), b});
  }
  return std::nullopt;
}

Rewritten simplify_le(Simplifier& s, Id a, Id b) {
  if (s.type(a) == Type::kFloat) return std::nullopt;
  if (a == b || s.int_value(b) == most_of(s, b) || s.int_value(a) == ~most_of(s, a)) return s.constant(true);
  return std::nullopt;
}

namespace {

Rewritten simplify_bool_select(Simplifier& s, Id c, Id a, Id b) {
  if (s.is(a, true)) return s.make(Op::kOr, {c, b});
  if (s.is(b, false)) return s.make(Op::kAnd, {c, a});
  if (s.is(a, false)) return s.make(Op::kAnd, {s.make(Op::kNot, {c}), b});
  if (s.is(b, true)) return s.make(Op::kOr, {s.make(Op::kNot, {c}), a});
  return std::nullopt;
}

// Of ints. a < b ? a : b is the definition of min for floats too, but where a == b it has the derivative of b alone.
Rewritten select_to_extremum(Simplifier& s, Id c, Id a, Id b) {
  if (!is_int(s.type(a)) || !(s.is(c, Op::kLt) || s.is(c, Op::kLe))) return std::nullopt;
  const Id left = s.operand(c, 0);
  const Id right = s.operand(c, 1);
  if (left == a && right == b) return s.make(Op::kMin, {a, b});
  if (left == b && right == a) return s.make(Op::kMax, {a, b});
  return std::nullopt;
}

}  // namespace

Rewritten simplify_select(Simplifier& s, Id c, Id a, Id b) {
  if (s.is(c, true)) return a;
  if (s.is(c, false)) return b;
  if (a == b) return a;
  if (s.is(c, Op::kNot)) return s.make(Op::kSelect, {s.operand(c, 0), b, a});
  if (s.is(a, Op::kSelect) && s.operand(a, 0) == c) return s.make(Op::kSelect, {c, s.operand(a, 1), b});
  if (s.is(b, Op::kSelect) && s.operand(b, 0) == c) return s.make(Op::kSelect, {c, a, s.operand(b, 2)});
  if (s.type(a) == Type::kInt && s.is(a, 1) && s.is(b, 0)) return s.make(Op::kBoolToInt, {c});
  if (s.type(a) == Type::kInt && s.is(a, 0) && s.is(b, 1)) return s.make(Op::kBoolToInt, {s.make(Op::kNot, {c})});
  if (s.type(a) == Type::kBool) return simplify_bool_select(s, c, a, b);
  return select_to_extremum(s, c, a, b);
}

}  // namespace flexjit::ir
