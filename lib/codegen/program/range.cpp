// One forward loop over the nodes between the mask and what is given; a node that interval arithmetic says nothing about has no
// range, and whatever needs it has none either.
#include "codegen/program/range.h"

#include <llvm/IR/Intrinsics.h>

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
  if (ir::is_int(program_.node(id).type)) {
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
    case ir::Type::kInt:
    case ir::Type::kLong: ranges_[id.index] = arithmetic(id); break;
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

namespace {

// Ends of ranges under operations whose results may leave 64 bits.
class Ends {
 public:
  explicit Ends(Emitter& e) : e_(e), overflow_(e.constant_bool(false)) {}

  Index add(Index a, Index b) { return operation(llvm::Intrinsic::sadd_with_overflow, a, b); }
  Index sub(Index a, Index b) { return operation(llvm::Intrinsic::ssub_with_overflow, a, b); }
  Index mul(Index a, Index b) { return operation(llvm::Intrinsic::smul_with_overflow, a, b); }
  Bool overflow() const { return overflow_; }

 private:
  Index operation(llvm::Intrinsic::ID id, Index a, Index b) {
    auto* result = e_.ir().CreateBinaryIntrinsic(id, a.value, b.value);
    overflow_ = e_.logical_or(overflow_, Bool{e_.ir().CreateExtractValue(result, 1)});
    return {e_.ir().CreateExtractValue(result, 0)};
  }

  Emitter& e_;
  Bool overflow_;
};

Range range_of_ends(Emitter& e, Ends& ends, Op op, Range a, Range b) {
  const Index zero = e.index(0);
  if (op == Op::kAdd) return {ends.add(a.least, b.least), ends.add(a.greatest, b.greatest)};
  if (op == Op::kSub) return {ends.sub(a.least, b.greatest), ends.sub(a.greatest, b.least)};
  if (op == Op::kNeg) return {ends.sub(zero, a.greatest), ends.sub(zero, a.least)};
  if (op == Op::kAbs) {
    const Index down = ends.sub(zero, a.greatest), up = ends.sub(zero, a.least);
    return {e.max(zero, e.max(a.least, down)), e.max(a.greatest, up)};
  }
  const Index corners[] = {ends.mul(a.least, b.least), ends.mul(a.least, b.greatest), ends.mul(a.greatest, b.least),
                           ends.mul(a.greatest, b.greatest)};
  return {e.min(e.min(corners[0], corners[1]), e.min(corners[2], corners[3])),
          e.max(e.max(corners[0], corners[1]), e.max(corners[2], corners[3]))};
}

}  // namespace

// Of an operation whose result may leave the type: then anything.
Range RangeEmitter::wrapping(ir::Type type, Op op, Range a, Range b) {
  Ends ends(e_);
  const Range range = range_of_ends(e_, ends, op, a, b);
  if (type == ir::Type::kInt) return within_int32(range);
  using Limits = std::numeric_limits<std::int64_t>;
  return {e_.select(ends.overflow(), e_.index(Limits::min()), range.least),
          e_.select(ends.overflow(), e_.index(Limits::max()), range.greatest)};
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
    const bool is_long = program_.node(id).type == ir::Type::kLong;
    const Index value = e_.index(is_long ? program_.const_long(id) : program_.const_int(id));
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
  if (op == Op::kMin) return Range{e_.min(a->least, b->least), e_.min(a->greatest, b->greatest)};
  if (op == Op::kMax) return Range{e_.max(a->least, b->least), e_.max(a->greatest, b->greatest)};
  if (op == Op::kIntToLong) return a;
  if (op == Op::kLongToInt) {
    const auto clamped = [&](Index x) { return e_.max(e_.index(kLeast), e_.min(x, e_.index(kGreatest))); };
    return Range{clamped(a->least), clamped(a->greatest)};
  }
  const bool may_wrap = op == Op::kAdd || op == Op::kSub || op == Op::kNeg || op == Op::kMul || op == Op::kAbs;
  if (may_wrap) return wrapping(program_.node(id).type, op, *a, *b);
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
