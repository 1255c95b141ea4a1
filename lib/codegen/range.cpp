// One forward loop over the nodes between the mask and what is given; a node that interval arithmetic says nothing about has no
// range, and whatever needs it has none either.
#include "codegen/range.h"

#include <limits>

namespace flexjit::codegen {
namespace {

using ir::Id;
using ir::Op;

constexpr std::int64_t kLeast = std::numeric_limits<std::int32_t>::min();
constexpr std::int64_t kGreatest = std::numeric_limits<std::int32_t>::max();

}  // namespace

RangeEmitter::RangeEmitter(Emitter& e, const ir::Program& program)
    : e_(e), program_(program), ranges_(program.size()), choices_(program.size()) {}

void RangeEmitter::set_uniform(Id id, llvm::Value* value) {
  if (program_.node(id).type == ir::Type::kInt) {
    const Index wide = e_.widen(Int{value});
    set(id, Range{wide, wide});
  }
  if (program_.node(id).type == ir::Type::kBool) set(id, Choice{Bool{value}, Bool{value}});
}

bool RangeEmitter::is_set(Id id) const { return ranges_[id.index].has_value() || choices_[id.index].has_value(); }

Choice RangeEmitter::mask() {
  const Choice anything{e_.constant_bool(true), e_.constant_bool(false)};
  const Id root = program_.mask();
  if (!root.valid()) return {e_.constant_bool(true), e_.constant_bool(true)};
  std::vector<bool> needed(program_.size(), false);
  needed[root.index] = true;
  for (std::uint32_t i = root.index + 1; i-- > 0;) {
    if (!needed[i] || is_set(Id{i})) continue;
    for (Id operand : program_.operands(Id{i})) needed[operand.index] = true;
  }
  for (std::uint32_t i = 0; i <= root.index; ++i) {
    if (needed[i] && !is_set(Id{i})) evaluate(Id{i});
  }
  return choice_of(root).value_or(anything);
}

void RangeEmitter::evaluate(Id id) {
  switch (program_.node(id).type) {
    case ir::Type::kInt: ranges_[id.index] = arithmetic(id); break;
    case ir::Type::kBool: {
      const auto compared = comparison(id);
      choices_[id.index] = compared ? compared : logic(id);
      break;
    }
    case ir::Type::kFloat: break;
  }
}

Range RangeEmitter::within_int32(Range range) {
  const Bool wraps = e_.logical_or(e_.less(range.least, e_.index(kLeast)), e_.less(e_.index(kGreatest), range.greatest));
  return {e_.select(wraps, e_.index(kLeast), range.least), e_.select(wraps, e_.index(kGreatest), range.greatest)};
}

Range RangeEmitter::product(Range a, Range b) {
  const Index corners[] = {e_.mul(a.least, b.least), e_.mul(a.least, b.greatest), e_.mul(a.greatest, b.least),
                           e_.mul(a.greatest, b.greatest)};
  return {e_.min(e_.min(corners[0], corners[1]), e_.min(corners[2], corners[3])),
          e_.max(e_.max(corners[0], corners[1]), e_.max(corners[2], corners[3]))};
}

std::optional<Range> RangeEmitter::selected(Id id) {
  const auto condition = choice_of(program_.operand(id, 0));
  const auto yes = range_of(program_.operand(id, 1));
  const auto no = range_of(program_.operand(id, 2));
  if (!yes || !no) return std::nullopt;
  Range both{e_.min(yes->least, no->least), e_.max(yes->greatest, no->greatest)};
  if (!condition) return both;
  both.least = e_.select(condition->all, yes->least, e_.select(condition->some, both.least, no->least));
  both.greatest = e_.select(condition->all, yes->greatest, e_.select(condition->some, both.greatest, no->greatest));
  return both;
}

std::optional<Range> RangeEmitter::arithmetic(Id id) {
  const Op op = program_.node(id).op;
  const auto operands = program_.operands(id);
  if (op == Op::kConst) {
    const Index value = e_.index(program_.const_int(id));
    return Range{value, value};
  }
  if (operands.empty() || op == Op::kRead) return std::nullopt;
  if (op == Op::kSelect) return selected(id);
  if (op == Op::kBoolToInt) {
    const auto choice = choice_of(operands[0]);
    if (!choice) return Range{e_.index(0), e_.index(1)};
    return Range{e_.widen_bool(choice->all), e_.widen_bool(choice->some)};
  }
  const auto a = range_of(operands.front());
  const auto b = range_of(operands.back());
  if (!a || !b) return std::nullopt;
  if (op == Op::kAdd) return within_int32({e_.add(a->least, b->least), e_.add(a->greatest, b->greatest)});
  if (op == Op::kSub) return within_int32({e_.sub(a->least, b->greatest), e_.sub(a->greatest, b->least)});
  if (op == Op::kNeg) return within_int32({e_.sub(e_.index(0), a->greatest), e_.sub(e_.index(0), a->least)});
  if (op == Op::kMul) return within_int32(product(*a, *b));
  if (op == Op::kMin) return Range{e_.min(a->least, b->least), e_.min(a->greatest, b->greatest)};
  if (op == Op::kMax) return Range{e_.max(a->least, b->least), e_.max(a->greatest, b->greatest)};
  if (op == Op::kAbs) {
    const Index down = e_.sub(e_.index(0), a->greatest);
    const Index up = e_.sub(e_.index(0), a->least);
    return within_int32({e_.max(e_.index(0), e_.max(a->least, down)), e_.max(a->greatest, up)});
  }
  return std::nullopt;
}

std::optional<Choice> RangeEmitter::comparison(Id id) {
  const Op op = program_.node(id).op;
  const auto operands = program_.operands(id);
  if (operands.size() != 2) return std::nullopt;
  const auto a = range_of(operands[0]);
  const auto b = range_of(operands[1]);
  if (!a || !b) return std::nullopt;
  const auto not_less = [&](Index x, Index y) { return e_.logical_not(e_.less(x, y)); };
  const auto never = [&](Choice choice) { return Choice{e_.logical_not(choice.all), e_.logical_not(choice.some)}; };
  const Choice below{e_.less(a->least, b->greatest), e_.less(a->greatest, b->least)};
  const Choice above{e_.less(b->least, a->greatest), e_.less(b->greatest, a->least)};
  if (op == Op::kLt) return below;
  if (op == Op::kGt) return above;
  if (op == Op::kGe) return never(below);
  if (op == Op::kLe) return never(above);
  const Bool overlap = e_.logical_and(not_less(a->greatest, b->least), not_less(b->greatest, a->least));
  const Bool one_value = e_.logical_and(e_.equal(a->least, a->greatest), e_.equal(b->least, b->greatest));
  const Choice same{overlap, e_.logical_and(one_value, e_.equal(a->least, b->least))};
  if (op == Op::kEq) return same;
  if (op == Op::kNe) return never(same);
  return std::nullopt;
}

std::optional<Choice> RangeEmitter::logic(Id id) {
  const Op op = program_.node(id).op;
  const Choice anything{e_.constant_bool(true), e_.constant_bool(false)};
  const auto operands = program_.operands(id);
  if (op == Op::kConst) {
    const Bool value = e_.constant_bool(program_.const_bool(id));
    return Choice{value, value};
  }
  const auto choice = [&](std::size_t i) { return choice_of(operands[i]).value_or(anything); };
  if (op == Op::kNot) return Choice{e_.logical_not(choice(0).all), e_.logical_not(choice(0).some)};
  if (op == Op::kAnd || op == Op::kOr) {
    const Choice a = choice(0), b = choice(1);
    if (op == Op::kAnd) return Choice{e_.logical_and(a.some, b.some), e_.logical_and(a.all, b.all)};
    return Choice{e_.logical_or(a.some, b.some), e_.logical_or(a.all, b.all)};
  }
  if (op == Op::kSelect) {
    const Choice c = choice(0), yes = choice(1), no = choice(2);
    const Bool may_be_no = e_.logical_not(c.all);
    const Bool some = e_.logical_or(e_.logical_and(c.some, yes.some), e_.logical_and(may_be_no, no.some));
    const Bool all_yes = e_.logical_or(e_.logical_not(c.some), yes.all);
    const Bool all_no = e_.logical_or(c.all, no.all);
    return Choice{some, e_.logical_and(all_yes, all_no)};
  }
  return std::nullopt;
}

}  // namespace flexjit::codegen
