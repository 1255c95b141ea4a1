// Identities of + - * / // % min max abs and rounding. Ints wrap, so whatever holds modulo 2^32 holds. For floats only what
// holds for -0, infinities and NaN too is here: x + 0 is not x (for x = -0), x * 0 is not 0, and nothing is reassociated.
// Constants stand on the right of commutative operations.
#include <cmath>
#include <limits>

#include "ir/evaluate/arithmetic.h"
#include "ir/passes/simplifier.h"

namespace flexjit::ir {

Rewritten simplify_neg(Simplifier& s, Id a) {
  if (s.is(a, Op::kNeg)) return s.operand(a, 0);           // -(-x) = x
  if (s.is(a, Op::kMul) && s.is_const(s.operand(a, 1))) {  // -(x * c) = x * -c
    return s.make(Op::kMul, {s.operand(a, 0), s.make(Op::kNeg, {s.operand(a, 1)})});
  }
  if (is_int(s.type(a)) && s.is(a, Op::kSub)) return s.make(Op::kSub, {s.operand(a, 1), s.operand(a, 0)});
  return std::nullopt;
}

Rewritten simplify_add(Simplifier& s, Id a, Id b) {
  if (s.is(b, Op::kNeg)) return s.make(Op::kSub, {a, s.operand(b, 0)});  // a + -y = a - y
  if (s.is(a, Op::kNeg)) return s.make(Op::kSub, {b, s.operand(a, 0)});  // -x + b = b - x
  if (s.type(a) == Type::kFloat) return s.is(b, -0.0) ? Rewritten(a) : std::nullopt;
  if (s.is(b, 0)) return a;
  if (s.is_const(b) && s.is(a, Op::kAdd) && s.is_const(s.operand(a, 1))) {  // (x + c1) + c2 = x + (c1 + c2)
    return s.make(Op::kAdd, {s.operand(a, 0), s.make(Op::kAdd, {s.operand(a, 1), b})});
  }
  if (s.is(a, Op::kSub) && s.operand(a, 1) == b) return s.operand(a, 0);  // (x - b) + b = x
  if (s.is(b, Op::kSub) && s.operand(b, 1) == a) return s.operand(b, 0);
  return std::nullopt;
}

Rewritten simplify_sub(Simplifier& s, Id a, Id b) {
  if (s.is(b, Op::kNeg)) return s.make(Op::kAdd, {a, s.operand(b, 0)});  // a - -y = a + y
  if (s.type(a) == Type::kFloat) {
    if (s.is(b, 0.0)) return a;
    if (s.is(a, -0.0)) return s.make(Op::kNeg, {b});  // -0 - b = -b
    return std::nullopt;
  }
  if (a == b) return s.zero(s.type(a));
  if (s.is(a, 0)) return s.make(Op::kNeg, {b});
  if (s.is_const(b)) return s.make(Op::kAdd, {a, s.make(Op::kNeg, {b})});
  if (s.has_operand(a, Op::kAdd, b)) return s.operand(a, s.operand(a, 0) == b ? 1 : 0);       // (x + b) - b = x
  if (s.is(a, Op::kSub) && s.operand(a, 0) == b) return s.make(Op::kNeg, {s.operand(a, 1)});  // (b - y) - b = -y
  if (s.is(b, Op::kSub) && s.operand(b, 0) == a) return s.operand(b, 1);                      // a - (a - y) = y
  return std::nullopt;
}

Rewritten simplify_mul(Simplifier& s, Id a, Id b) {
  if (s.is(a, Op::kNeg) && s.is(b, Op::kNeg)) return s.make(Op::kMul, {s.operand(a, 0), s.operand(b, 0)});
  if (s.is(a, Op::kNeg) && s.is_const(b)) return s.make(Op::kMul, {s.operand(a, 0), s.make(Op::kNeg, {b})});
  if (s.is(b, 1) || s.is(b, 1.0)) return a;
  if (s.is(b, -1) || s.is(b, -1.0)) return s.make(Op::kNeg, {a});
  if (s.is(b, 0)) return b;
  if (is_int(s.type(a)) && s.is_const(b) && s.is(a, Op::kMul) && s.is_const(s.operand(a, 1))) {
    return s.make(Op::kMul, {s.operand(a, 0), s.make(Op::kMul, {s.operand(a, 1), b})});  // (x * c1) * c2 = x * (c1 * c2)
  }
  return std::nullopt;
}

namespace {

bool is_normal(const Simplifier& s, double value) {
  return s.program().precision() == Precision::kFp32 ? std::isnormal(static_cast<float>(value)) : std::isnormal(value);
}

}  // namespace

Rewritten simplify_div(Simplifier& s, Id a, Id b) {
  if (s.is(a, Op::kNeg) && s.is(b, Op::kNeg)) return s.make(Op::kDiv, {s.operand(a, 0), s.operand(b, 0)});
  if (const auto divisor = s.float_value(b)) {
    int exponent = 0;
    const bool power_of_two = std::fabs(std::frexp(*divisor, &exponent)) == 0.5;
    // Both the divisor and its reciprocal are normal, so both forms round the same exact value.
    if (power_of_two && is_normal(s, *divisor) && is_normal(s, 1.0 / *divisor)) {
      return s.make(Op::kMul, {a, s.constant(1.0 / *divisor)});
    }
  }
  return std::nullopt;
}

Rewritten simplify_floor_div(Simplifier& s, Id a, Id b) {
  if (s.type(a) == Type::kFloat) return s.is(b, 1.0) ? Rewritten(s.make(Op::kFloor, {a})) : std::nullopt;
  if (s.is(b, 1)) return a;
  if (s.is(b, -1)) return s.make(Op::kNeg, {a});
  if (s.is(b, 0) || s.is(a, 0)) return s.zero(s.type(a));
  const auto outer = s.int_value(b);
  const auto inner = s.is(a, Op::kFloorDiv) ? s.int_value(s.operand(a, 1)) : std::nullopt;
  if (outer && inner && *outer > 0 && *inner > 0 && *outer <= kInt32Max / *inner) {
    return s.make(Op::kFloorDiv, {s.operand(a, 0), s.integer(s.type(a), *outer * *inner)});  // (x // c1) // c2 = x // (c1 * c2)
  }
  return std::nullopt;
}

Rewritten simplify_mod(Simplifier& s, Id a, Id b) {
  if (s.type(a) == Type::kFloat) return std::nullopt;
  if (s.is(b, 1) || s.is(b, -1) || s.is(b, 0) || s.is(a, 0) || a == b) return s.zero(s.type(a));
  if (s.is(a, Op::kMod) && s.operand(a, 1) == b) return a;  // (x % b) % b = x % b
  return std::nullopt;
}

namespace {

// min and max: `op` with its neutral and its absorbing int.
Rewritten simplify_extremum(Simplifier& s, Op op, Id a, Id b) {
  if (a == b) return a;
  if (s.type(a) == Type::kFloat) return std::nullopt;
  const std::int64_t most = s.type(a) == Type::kLong ? std::numeric_limits<std::int64_t>::max() : kInt32Max;
  const std::int64_t neutral = op == Op::kMin ? most : ~most;
  if (s.int_value(b) == neutral) return a;
  if (s.int_value(b) == ~neutral) return b;
  if (s.has_operand(a, op, b)) return a;
  if (s.has_operand(b, op, a)) return b;
  if (s.is_const(b) && s.is(a, op) && s.is_const(s.operand(a, 1))) {  // min(min(x, c1), c2) = min(x, min(c1, c2))
    return s.make(op, {s.operand(a, 0), s.make(op, {s.operand(a, 1), b})});
  }
  return std::nullopt;
}

}  // namespace

Rewritten simplify_min(Simplifier& s, Id a, Id b) { return simplify_extremum(s, Op::kMin, a, b); }
Rewritten simplify_max(Simplifier& s, Id a, Id b) { return simplify_extremum(s, Op::kMax, a, b); }

Rewritten simplify_abs(Simplifier& s, Id a) {
  if (s.is(a, Op::kAbs)) return a;
  if (s.is(a, Op::kNeg)) return s.make(Op::kAbs, {s.operand(a, 0)});
  if (s.is(a, Op::kSub) && s.before(s.operand(a, 1), s.operand(a, 0))) {  // |x - y| = |y - x|
    return s.make(Op::kAbs, {s.make(Op::kSub, {s.operand(a, 1), s.operand(a, 0)})});
  }
  return std::nullopt;
}

Rewritten simplify_rounding(Simplifier& s, Id a) {
  const bool integral = s.is(a, Op::kIntToFloat) || s.is(a, Op::kFloor) || s.is(a, Op::kCeil) || s.is(a, Op::kRound);
  return integral ? Rewritten(a) : std::nullopt;
}

// Every rule holds for NaN: C's pow(x, 0) is 1 for all x.
Rewritten simplify_pow(Simplifier& s, Id a, Id b) {
  if (s.is(b, 0.0) || s.is(b, -0.0)) return s.constant(1.0);
  if (s.is(b, 1.0)) return a;
  if (s.is(b, 2.0)) return s.make(Op::kMul, {a, a});
  if (s.is(b, -1.0)) return s.make(Op::kDiv, {s.constant(1.0), a});
  return std::nullopt;
}

}  // namespace flexjit::ir
