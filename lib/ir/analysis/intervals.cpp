// One forward loop over the nodes: leaves take their range from the box, the environment or the captured buffers, all else from
// its operands.
#include "ir/analysis/intervals.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <new>

#include "ir/analysis/interval_arithmetic.h"
#include "ir/evaluate/arithmetic.h"
#include "ir/passes/passes.h"
#include "support/check.h"

namespace flexjit::ir {
namespace {

Range point_of(double value) {
  if (std::isnan(value)) return {any_float().hi, any_float().lo, true};
  return Range::point(value);
}

Range range_of_constant(const Program& program, Id id) {
  switch (program.node(id).type) {
    case Type::kInt: return point_of(program.const_int(id));
    case Type::kFloat: return point_of(program.const_float(id));
    case Type::kBool: return point_of(program.const_bool(id) ? 1 : 0);
    case Type::kLong: return long_range(program.const_long(id), program.const_long(id));
  }
  return {};
}

Range range_of_scalar(const Scalar& value, Precision precision) {
  if (const auto* number = std::get_if<double>(&value)) return point_of(support::rounded(precision, *number));
  return std::visit([](auto v) { return point_of(static_cast<double>(v)); }, value);
}

// An operation on one operand twice: bounds alone would forget that both sides are equal.
Range range_of_twice(Op op, Type type, const Range& a) {
  if (type != Type::kFloat) {  // NaN differs from itself
    if (op == Op::kSub || op == Op::kXor || op == Op::kMod) return Range::point(0);
    if (op == Op::kEq || op == Op::kLe || op == Op::kGe) return Range::point(1);
    if (op == Op::kNe || op == Op::kLt || op == Op::kGt) return Range::point(0);
  }
  Range range = range_of({op, type, {a, a}});
  // A square is not negative, but an int that wraps may be.
  if (op == Op::kMul && range != any_of(type)) range.lo = std::max(range.lo, 0.0);
  return range;
}

// A captured int has the bits of its type, whatever the answer about its buffer says.
Range within_type(const Range& range, Type type) {
  if (type == Type::kFloat) return range;
  const Range any = any_of(type);
  return range.lo < any.lo || range.hi > any.hi ? any : range;
}

}  // namespace

Range long_range(std::int64_t lo, std::int64_t hi) {
  constexpr double kUnbounded = std::numeric_limits<double>::infinity();
  // As ints of 64 bits, where the double is one.
  const auto least = static_cast<double>(lo), most = static_cast<double>(hi);
  const bool above = least == 0x1p63 || static_cast<std::int64_t>(least) > lo;
  const bool below = most != 0x1p63 && static_cast<std::int64_t>(most) < hi;
  return {above ? std::nextafter(least, -kUnbounded) : least, below ? std::nextafter(most, kUnbounded) : most, false};
}

Range any_of(Type type) {
  switch (type) {
    case Type::kInt: return kAnyInt;
    case Type::kFloat: return any_float();
    case Type::kBool: return kAnyBool;
    case Type::kLong: return kAnyLong;
  }
  return {};
}

IntervalAnalysis::IntervalAnalysis(const Program& program, const Environment& environment, const BufferRanges* buffers)
    : program_(program), environment_(environment), buffers_(buffers), ranges_(program.size()) {
  FLEXJIT_CHECK(environment.params.size() >= program.params().size());
  const std::vector<bool> in_mask = reachable(program, program.mask());
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (in_mask[i]) mask_nodes_.push_back(i);
    const Node& node = program.node(Id{i});
    const auto operands = program.operands(Id{i});
    Step& step = steps_.emplace_back(Step{.op = node.op, .rule = type_rule(node.op)});
    if (node.op == Op::kRead) reads_.resize(program.size());
    if (node.op == Op::kRead) find_bounds(Id{i}, operands[0]);
    if (step.rule == TypeRule::kVariadic || operands.empty()) continue;
    step.type = program.node(operands.back()).type;
    step.operand_count = static_cast<std::uint8_t>(operands.size());
    if (step.rule == TypeRule::kRandom) step.operand_count = 1;  // its range is the same whatever they are
    for (std::size_t d = 0; d < step.operand_count; ++d) step.operands[d] = operands[d].index;
  }
}

namespace {

// The order that holds of b and a where `op` holds of a and b.
Op mirrored(Op op) {
  if (op == Op::kLt) return Op::kGt;
  if (op == Op::kLe) return Op::kGe;
  return op == Op::kGt ? Op::kLt : Op::kLe;
}

}  // namespace

// Of the conditions that all hold where `condition` does.
void IntervalAnalysis::find_bounds(Id read, Id condition) {
  const Op op = program_.node(condition).op;
  const auto sides = program_.operands(condition);
  if (op == Op::kAnd) {
    for (Id side : sides) find_bounds(read, side);
    return;
  }
  const bool is_order = op == Op::kLt || op == Op::kLe || op == Op::kGt || op == Op::kGe;
  if (!is_order || program_.node(sides[0]).type != Type::kInt) return;
  const auto indices = program_.operands(read).subspan(1);
  for (std::size_t d = 0; d < indices.size(); ++d) {
    if (sides[0] == indices[d]) reads_[read.index].bounds.push_back({d, op, sides[1]});
    if (sides[1] == indices[d]) reads_[read.index].bounds.push_back({d, mirrored(op), sides[0]});
  }
}

Range IntervalAnalysis::index_range(Id read, std::size_t dimension) const {
  Range index = ranges_[program_.operands(read)[dimension + 1].index];
  if (program_.node(read).op != Op::kRead) return index;
  for (const IndexBound& known : reads_[read.index].bounds) {
    if (known.dimension != dimension) continue;
    const Range& bound = ranges_[known.bound.index];
    if (known.op == Op::kLt) index.hi = std::min(index.hi, bound.hi - 1);
    if (known.op == Op::kLe) index.hi = std::min(index.hi, bound.hi);
    if (known.op == Op::kGt) index.lo = std::max(index.lo, bound.lo + 1);
    if (known.op == Op::kGe) index.lo = std::max(index.lo, bound.lo);
  }
  return index;
}

void IntervalAnalysis::forget() {
  for (Read& read : reads_) read.known = false;
}

std::span<const Range> IntervalAnalysis::run(const Box& box) {
  for (std::uint32_t i = 0; i < ranges_.size(); ++i) ranges_[i] = eval(Id{i}, box);
  return ranges_;
}

Range IntervalAnalysis::mask(const Box& box) { return mask(box, mask_nodes_); }

Range IntervalAnalysis::mask(const Box& box, std::span<const std::uint32_t> nodes) {
  if (!program_.mask().valid()) return Range::point(1);
  // Made in its place: to copy a range is to wait until its bounds are written.
  for (std::uint32_t i : nodes) ::new (&ranges_[i]) Range(eval(Id{i}, box));
  return ranges_[program_.mask().index];
}

Range IntervalAnalysis::eval(Id id, const Box& box) {
  const Step& step = steps_[id.index];
  if (step.rule == TypeRule::kConst) return range_of_constant(program_, id);
  if (step.rule == TypeRule::kVariable) return eval_variable(program_.node(id), box);
  if (step.rule == TypeRule::kVariadic) return eval_access(id);
  const auto x = [&](std::size_t i) -> const Range& { return ranges_[step.operands[i]]; };
  if (step.operand_count == 1) return range_of({step.op, step.type, x(0)});
  if (step.operand_count == 3) return range_of({step.op, step.type, {x(0), x(1), x(2)}});
  if (step.operands[0] == step.operands[1]) return range_of_twice(step.op, step.type, x(0));
  return range_of({step.op, step.type, {x(0), x(1)}});
}

Range IntervalAnalysis::eval_variable(const Node& node, const Box& box) const {
  const auto group = std::max(1, environment_.num_heads / std::max(1, environment_.num_kv_heads));
  auto between = [](std::int32_t lo, std::int32_t hi) { return Range{double(lo), double(hi), false}; };
  if (is_of_pair(node.op) || is_of_row(node.op)) return any_float();
  if (node.op == Op::kFeature) return between(0, std::numeric_limits<std::int32_t>::max());
  if (node.op == Op::kParam) return range_of_scalar(environment_.params[node.payload], program_.precision());
  if (node.op == Op::kBatch) return between(box.b_lo, box.b_hi);
  if (node.op == Op::kHead) return between(box.h_lo, box.h_hi);
  if (node.op == Op::kQIdx) return between(box.q_lo, box.q_hi);
  if (node.op == Op::kKvIdx) return between(box.kv_lo, box.kv_hi);
  if (node.op == Op::kKvHead) return between(box.h_lo / group, box.h_hi / group);
  if (node.op == Op::kQLen) return point_of(environment_.q_len);
  if (node.op == Op::kKvLen) return point_of(environment_.kv_len);
  if (node.op == Op::kQOffset) return point_of(environment_.q_offset);
  if (node.op == Op::kKvOffset) return point_of(environment_.kv_offset);
  if (node.op == Op::kNumHeads) return point_of(environment_.num_heads);
  if (node.op == Op::kNumKvHeads) return point_of(environment_.num_kv_heads);
  FLEXJIT_CHECK(node.op == Op::kBatchSize, std::string(mnemonic(node.op)));
  return point_of(environment_.batch_size);
}

Range IntervalAnalysis::eval_access(Id id) {
  const Node& node = program_.node(id);
  const auto operands = program_.operands(id);
  const Range& guard = ranges_[operands[0].index];
  if (guard.hi == 0) return Range::point(0);
  if (node.op != Op::kRead || buffers_ == nullptr) return any_of(node.type);
  std::array<Range, kMaxRank> index{};
  for (std::size_t d = 0; d + 1 < operands.size(); ++d) {
    index[d] = index_range(id, d);
    if (index[d].lo > index[d].hi) return Range::point(0);
  }
  Read& last = reads_[id.index];
  if (last.known && last.index == index) return last.values;
  const Range found = buffers_->range(program_.read(id).buffer, {index.data(), operands.size() - 1});
  last.index = index, last.values = within_type(found, node.type), last.known = true;
  return last.values;
}

namespace {

std::string describe(const Range& range, Type type) {
  if (type == Type::kBool) return range.is_point() ? (range.lo != 0 ? "always true" : "always false") : "true or false";
  if (is_empty(range)) return "always NaN";
  return fmt::format("in [{}, {}]{}", range.lo, range.hi, range.may_nan ? " or NaN" : "");
}

}  // namespace

std::string print_intervals(const Program& program, const Interface& interface, std::span<const Range> ranges) {
  const std::string listing = print(program, interface);
  std::string text;
  std::uint32_t node = 0;
  for (std::size_t begin = 0; begin < listing.size();) {
    const std::size_t end = listing.find('\n', begin);
    text.append(listing, begin, end - begin);
    if (listing[begin] == '%') {
      text += " " + describe(ranges[node], program.node(Id{node}).type);
      ++node;
    }
    text += '\n';
    begin = end + 1;
  }
  return text;
}

}  // namespace flexjit::ir
