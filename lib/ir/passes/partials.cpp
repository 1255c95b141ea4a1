// The derivative of each op, a line or two an op. Results that the forward program has are used again: e^a is its own
// derivative. Kinks: 0 at the 0 of |a|, half to each side of a min or max of equals, all to the first operand of a clamp on the
// closed interval, 0 of what is constant between steps. Poles and roots give what IEEE arithmetic makes of the formula.
#include <cmath>
#include <numbers>

#include "ir/passes/cotangents.h"
#include "support/check.h"

namespace flexjit::ir {
namespace {

class Partials {
 public:
  Partials(ProgramBuilder& builder, const Computed& node, Id g)
      : builder_(builder), a_(node.operands.front()), b_(node.operands.back()), y_(node.result), g_(g) {
    if (node.operands.size() == 3) middle_ = node.operands[1];
  }

  // One line an operation, so that the table can be read against ops.def; splitting it would hide the order.
  std::vector<Cotangent> of(Op op) {
    switch (op) {
      case Op::kNeg: return {always(neg(g_))};
      case Op::kAdd: return {always(g_), always(g_)};
      case Op::kSub: return {always(g_), always(neg(g_))};
      case Op::kMul: return {always(mul(g_, b_)), always(mul(g_, a_))};
      case Op::kDiv: return {always(div(g_, b_)), always(neg(mul(div(g_, b_), y_)))};
      case Op::kMod: return {always(g_), always(neg(mul(g_, make(Op::kFloorDiv, a_, b_))))};
      case Op::kMin: return extremum(Op::kLe, Op::kLt);
      case Op::kMax: return extremum(Op::kGe, Op::kGt);
      case Op::kClamp: return clamp();
      case Op::kAbs: return {{make(Op::kNe, a_, real(0)), choose(make(Op::kGt, a_, real(0)), g_, neg(g_))}};
      case Op::kSelect: return {{}, {a_, g_}, {negation(a_), g_}};
      case Op::kSqrt: return {always(div(mul(g_, real(0.5)), y_))};
      case Op::kExp: return {always(mul(g_, y_))};
      case Op::kExp2: return {always(mul(mul(g_, y_), real(std::numbers::ln2)))};
      case Op::kLog: return {always(div(g_, a_))};
      case Op::kLog2: return {always(div(g_, mul(a_, real(std::numbers::ln2))))};
      case Op::kLog1p: return {always(div(g_, make(Op::kAdd, real(1), a_)))};
      case Op::kTanh: return {always(mul(g_, sub(real(1), mul(y_, y_))))};
      case Op::kErf: return {always(mul(g_, mul(make(Op::kExp, neg(mul(a_, a_))), real(2 * std::numbers::inv_sqrtpi))))};
      case Op::kSin: return {always(mul(g_, make(Op::kCos, a_)))};
      case Op::kCos: return {always(neg(mul(g_, make(Op::kSin, a_))))};
      case Op::kPow: return power();
      default: break;
    }
    FLEXJIT_CHECK(false, std::string(mnemonic(op)) + " has no derivative");
    return {};
  }

 private:
  static Cotangent always(Id value) { return {.condition = {}, .value = value}; }
  Id make(Op op, Id a) { return builder_.make(op, {a}); }
  Id make(Op op, Id a, Id b) { return builder_.make(op, {a, b}); }
  Id real(double value) { return builder_.const_float(value); }
  Id neg(Id a) { return make(Op::kNeg, a); }
  Id mul(Id a, Id b) { return make(Op::kMul, a, b); }
  Id sub(Id a, Id b) { return make(Op::kSub, a, b); }
  Id div(Id a, Id b) { return make(Op::kDiv, a, b); }
  Id negation(Id a) { return make(Op::kNot, a); }
  Id choose(Id c, Id a, Id b) { return builder_.make(Op::kSelect, {c, a, b}); }

  // The second operand also takes part where either is NaN, as it is then the value.
  std::vector<Cotangent> extremum(Op first_or_equal, Op first) {
    const Id value = choose(make(Op::kEq, a_, b_), mul(g_, real(0.5)), g_);
    return {{make(first_or_equal, a_, b_), value}, {negation(make(first, a_, b_)), value}};
  }

  // min(max(x, lo), hi): of the three, the one that is the value.
  std::vector<Cotangent> clamp() {
    const Id lo = middle_, hi = b_;
    const Id not_below = make(Op::kGe, a_, lo);
    const Id inside = make(Op::kAnd, not_below, make(Op::kLe, a_, hi));
    const Id below = make(Op::kAnd, negation(not_below), make(Op::kLe, lo, hi));
    return {{inside, g_}, {below, g_}, {negation(make(Op::kOr, inside, below)), g_}};
  }

  // b * a^(b - 1), which is right at 0 and at infinity where a^b * b / a is not, and 0 where b is; a^b * ln a where a > 0, else
  // 0.
  std::vector<Cotangent> power() {
    const Id by_a = mul(g_, mul(b_, make(Op::kPow, a_, sub(b_, real(1)))));
    const Id by_b = mul(g_, mul(y_, make(Op::kLog, a_)));
    return {{make(Op::kNe, b_, real(0)), by_a}, {make(Op::kGt, a_, real(0)), by_b}};
  }

  ProgramBuilder& builder_;
  Id a_, middle_, b_, y_, g_;
};

}  // namespace

std::vector<Cotangent> partials_of(ProgramBuilder& builder, const Computed& node, Id g) {
  return Partials(builder, node, g).of(node.op);
}

}  // namespace flexjit::ir
