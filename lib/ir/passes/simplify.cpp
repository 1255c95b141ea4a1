// One forward loop: every node of the old program is made again on simplified operands. A node's operands are in normal form
// when its rules are tried and every rule ends in make(), so one pass reaches the normal form and a second changes nothing.
#include <algorithm>
#include <array>
#include <tuple>

#include "ir/passes/passes.h"
#include "ir/passes/simplifier.h"

namespace flexjit::ir {
namespace {

// Float min and max are not here: with a NaN their two sides differ.
bool commutes(Op op, Type type) {
  const bool always =
      op == Op::kAdd || op == Op::kMul || op == Op::kAnd || op == Op::kOr || op == Op::kXor || op == Op::kEq || op == Op::kNe;
  return always || (is_int(type) && (op == Op::kMin || op == Op::kMax));
}

// One line an operation that has rules.
Rewritten apply_rules(Simplifier& s, Op op, std::span<const Id> x) {
  switch (op) {
    case Op::kNeg: return simplify_neg(s, x[0]);
    case Op::kAdd: return simplify_add(s, x[0], x[1]);
    case Op::kSub: return simplify_sub(s, x[0], x[1]);
    case Op::kMul: return simplify_mul(s, x[0], x[1]);
    case Op::kDiv: return simplify_div(s, x[0], x[1]);
    case Op::kFloorDiv: return simplify_floor_div(s, x[0], x[1]);
    case Op::kMod: return simplify_mod(s, x[0], x[1]);
    case Op::kMin: return simplify_min(s, x[0], x[1]);
    case Op::kMax: return simplify_max(s, x[0], x[1]);
    case Op::kAbs: return simplify_abs(s, x[0]);
    case Op::kAnd: return simplify_and(s, x[0], x[1]);
    case Op::kOr: return simplify_or(s, x[0], x[1]);
    case Op::kXor: return simplify_xor(s, x[0], x[1]);
    case Op::kNot: return simplify_not(s, x[0]);
    case Op::kShl: return simplify_shl(s, x[0], x[1]);
    case Op::kShr: return simplify_shr(s, x[0], x[1]);
    case Op::kEq: return simplify_eq(s, x[0], x[1]);
    case Op::kNe: return simplify_ne(s, x[0], x[1]);
    case Op::kLt: return simplify_lt(s, x[0], x[1]);
    case Op::kLe: return simplify_le(s, x[0], x[1]);
    case Op::kGt: return s.make(Op::kLt, {x[1], x[0]});
    case Op::kGe: return s.make(Op::kLe, {x[1], x[0]});
    case Op::kSelect: return simplify_select(s, x[0], x[1], x[2]);
    case Op::kFloor:
    case Op::kCeil:
    case Op::kRound: return simplify_rounding(s, x[0]);
    case Op::kPow: return simplify_pow(s, x[0], x[1]);
    case Op::kLongToInt: return s.is(x[0], Op::kIntToLong) ? Rewritten(s.operand(x[0], 0)) : std::nullopt;
    default: return std::nullopt;
  }
}

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
  return hash ^ (hash >> 31);
}

}  // namespace

Id Simplifier::make(Op op, std::span<const Id> operands) {
  std::array<Id, kMaxOperands> ordered{};
  std::ranges::copy(operands, ordered.begin());
  if (commutes(op, type(operands.back())) && before(ordered[1], ordered[0])) std::swap(ordered[0], ordered[1]);
  const std::span<const Id> x(ordered.data(), operands.size());
  if (const Rewritten folded = fold_constants(*this, op, x)) return *folded;
  if (const Rewritten simpler = apply_rules(*this, op, x)) return *simpler;
  return builder_.make(op, x);
}

Id Simplifier::zero(Type type) {
  switch (type) {
    case Type::kInt: return constant(0);
    case Type::kFloat: return constant(0.0);
    case Type::kBool: return constant(false);
    case Type::kLong: return builder_.const_long(0);
  }
  return {};
}

Id Simplifier::integer(Type type, std::int64_t value) {
  return type == Type::kLong ? builder_.const_long(value) : constant(static_cast<std::int32_t>(value));
}

bool Simplifier::is(Id id, std::int32_t value) const { return int_value(id) == value; }
bool Simplifier::is(Id id, double value) const {
  const auto found = float_value(id);
  return found && std::bit_cast<std::uint64_t>(*found) == std::bit_cast<std::uint64_t>(value);
}
bool Simplifier::is(Id id, bool value) const {
  return is_const(id) && type(id) == Type::kBool && program().const_bool(id) == value;
}

std::optional<std::int64_t> Simplifier::int_value(Id id) const {
  if (!is_const(id) || !is_int(type(id))) return std::nullopt;
  return type(id) == Type::kLong ? program().const_long(id) : program().const_int(id);
}

std::optional<double> Simplifier::float_value(Id id) const {
  if (!is_const(id) || type(id) != Type::kFloat) return std::nullopt;
  return program().const_float(id);
}

bool Simplifier::has_operand(Id id, Op op, Id operand) const {
  return is(id, op) && (program().operand(id, 0) == operand || program().operand(id, 1) == operand);
}

// Constants go last; then the order of ops.def, which puts leaves first and reads well; then the structure.
bool Simplifier::before(Id a, Id b) {
  auto key = [&](Id id) { return std::tuple(is_const(id), program().node(id).op, structure(id)); };
  return key(a) < key(b);
}

std::uint64_t Simplifier::structure(Id id) {
  while (structure_.size() <= id.index) {
    const Id next{static_cast<std::uint32_t>(structure_.size())};
    const Node& node = program().node(next);
    std::uint64_t hash = mix(static_cast<std::uint64_t>(node.op), static_cast<std::uint64_t>(node.type));
    if (node.op == Op::kRead || node.op == Op::kAccumulate) {
      hash = mix(hash, program().read(next).buffer);
    } else if (node.op == Op::kDot || node.op == Op::kAccumulateRow) {
      hash = mix(mix(hash, program().dot(next).buffer_a), program().dot(next).buffer_b);
    } else if (node.op == Op::kConst && node.type == Type::kFloat) {
      hash = mix(hash, std::bit_cast<std::uint64_t>(program().const_float(next)));
    } else if (node.op == Op::kConst && node.type == Type::kLong) {
      hash = mix(hash, static_cast<std::uint64_t>(program().const_long(next)));
    } else {
      hash = mix(hash, node.payload);
    }
    for (Id operand : program().operands(next)) hash = mix(hash, structure_[operand.index]);
    structure_.push_back(hash);
  }
  return structure_[id.index];
}

Program simplify(const Program& program) {
  Simplifier s(program);
  std::vector<Id> simplified;
  std::vector<Id> operands;
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const Node& node = program.node(Id{i});
    operands.clear();
    for (Id operand : program.operands(Id{i})) operands.push_back(simplified[operand.index]);
    if (operands.empty()) {
      simplified.push_back(s.copy(program, Id{i}, operands));
    } else if (type_rule(node.op) != TypeRule::kVariadic) {
      simplified.push_back(s.make(node.op, operands));
    } else if (s.is(operands[0], false) || (accumulates(node.op) && (s.is(operands[1], 0.0) || s.is(operands[1], -0.0)))) {
      simplified.push_back(s.zero(node.type));
    } else {
      simplified.push_back(s.copy(program, Id{i}, operands));
    }
  }
  s.copy_marks(program, simplified);
  Roots roots = program.roots().of_copies(simplified);
  s.copy_accumulations(program, simplified);
  Id &score = roots[Root::kScore], &mask = roots[Root::kMask], &score_grad = roots[Root::kScoreGrad];
  Id& factor = roots[Root::kWeightFactor];
  if (score.valid() && s.is(score, Op::kScore)) score = Id{};
  if (score_grad.valid() && s.is(score_grad, Op::kScoreGrad)) score_grad = Id{};
  if (mask.valid() && s.is(mask, true)) mask = Id{};
  if (factor.valid() && s.is(factor, 1.0)) factor = Id{};
  if (Id& gate = roots[Root::kGate]; gate.valid() && s.is(gate, 1.0)) gate = Id{};
  return std::move(s).finish(roots);
}

}  // namespace flexjit::ir
