// Hash-consing, and what ranges follow from operations and conditions.
#include "cxx/graph/graph.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <utility>

namespace flexjit::cxx {
namespace {

bool is_int(Type type) { return type == Type::kInt || type == Type::kLong; }
Range all_of(Type type) { return type == Type::kLong ? kAnyLong : kAnyInt; }

std::size_t hash_of(const Node& node) {
  std::size_t hash = std::hash<std::string>()(node.name);
  const auto mix = [&](std::uint64_t value) { hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL + (hash >> 29); };
  mix(static_cast<std::uint64_t>(node.kind) << 16 | static_cast<std::uint64_t>(node.type) << 8 |
      static_cast<std::uint64_t>(node.op));
  mix(node.bits);
  for (NodeId operand : node.operands) mix(operand.index);
  return hash;
}

bool same(const Node& a, const Node& b) {
  return a.kind == b.kind && a.type == b.type && a.op == b.op && a.bits == b.bits && a.name == b.name &&
         a.operands == b.operands;
}

Operator negated(Operator op) {
  switch (op) {
    case Operator::kEqual: return Operator::kNotEqual;
    case Operator::kNotEqual: return Operator::kEqual;
    case Operator::kLess: return Operator::kGreaterEqual;
    case Operator::kLessEqual: return Operator::kGreater;
    case Operator::kGreater: return Operator::kLessEqual;
    default: return Operator::kLess;
  }
}

}  // namespace

NodeId Graph::add(Node node) {
  const std::size_t hash = hash_of(node);
  const auto [first, last] = index_.equal_range(hash);
  for (auto found = first; found != last; ++found) {
    if (same(nodes_[found->second], node)) return {found->second};
  }
  std::uint16_t depth = 0;
  for (NodeId operand : node.operands) depth = std::max(depth, nodes_[operand.index].depth);
  node.depth = static_cast<std::uint16_t>(std::min(depth + 1, 0xffff));
  node.place = place_;
  const auto number = static_cast<std::uint32_t>(nodes_.size());
  index_.emplace(hash, number);
  nodes_.push_back(std::move(node));
  return {number};
}

NodeId Graph::constant(std::int32_t value) {
  return add({.type = Type::kInt, .bits = static_cast<std::uint64_t>(std::int64_t{value}), .range = {value, value}});
}

NodeId Graph::constant(bool value) { return add({.type = Type::kBool, .bits = value ? 1U : 0U}); }

NodeId Graph::constant(double value) { return add({.type = Type::kFloat, .bits = std::bit_cast<std::uint64_t>(value)}); }

NodeId Graph::constant_long(std::int64_t value) {
  return add({.type = Type::kLong, .bits = static_cast<std::uint64_t>(value), .range = {value, value}});
}

NodeId Graph::integer(Type type, std::int64_t value) {
  if (type == Type::kLong) return constant_long(value);
  return constant(static_cast<std::int32_t>(static_cast<std::uint32_t>(static_cast<std::uint64_t>(value))));
}

NodeId Graph::name(std::string_view name, Type type, Range range) {
  return add({.kind = NodeKind::kName, .type = type, .name = std::string(name), .range = range});
}

NodeId Graph::read(std::string_view buffer, Type type, Range range, std::vector<NodeId> indices) {
  return add(
      {.kind = NodeKind::kRead, .type = type, .name = std::string(buffer), .operands = std::move(indices), .range = range});
}

NodeId Graph::unary(Operator op, NodeId a) {
  if (op == Operator::kNot) {
    if (const auto value = bool_value(a)) return constant(!*value);
    if (node(a).kind == NodeKind::kOperator && node(a).op == Operator::kNot) return node(a).operands[0];
  }
  if (const auto value = int_value(a)) {
    if (const auto known = fold_int(op, type(a), *value, 0)) return integer(type(a), *known);
  }
  Node made{.kind = NodeKind::kOperator, .type = type(a), .op = op, .operands = {a}};
  if (is_int(type(a))) made.range = derived_range(made, 0);
  return add(std::move(made));
}

NodeId Graph::binary(Operator op, NodeId a, NodeId b) {
  if (const auto known = folded(op, a, b)) return *known;
  const bool is_bool = is_comparison(op) || type(a) == Type::kBool;
  Node made{.kind = NodeKind::kOperator, .type = is_bool ? Type::kBool : type(a), .op = op, .operands = {a, b}};
  if (is_int(made.type)) made.range = derived_range(made, 0);
  return add(std::move(made));
}

// Sides that are bools become what && and || say, which evaluate as much.
NodeId Graph::select(NodeId condition, NodeId yes, NodeId no) {
  if (const auto known = bool_value(condition)) return *known ? yes : no;
  if (yes == no) return yes;
  const auto if_yes = bool_value(yes), if_no = bool_value(no);
  if (if_yes && if_no) return *if_yes ? condition : unary(Operator::kNot, condition);
  if (if_yes)
    return *if_yes ? binary(Operator::kOr, condition, no) : binary(Operator::kAnd, unary(Operator::kNot, condition), no);
  if (if_no)
    return *if_no ? binary(Operator::kOr, unary(Operator::kNot, condition), yes) : binary(Operator::kAnd, condition, yes);
  if (yes == condition) return binary(Operator::kOr, condition, no);
  if (no == condition) return binary(Operator::kAnd, condition, yes);
  Node made{.kind = NodeKind::kSelect, .type = type(yes), .operands = {condition, yes, no}};
  if (is_int(made.type)) made.range = derived_range(made, 0);
  return add(std::move(made));
}

NodeId Graph::call(std::string_view function, Type to, std::vector<NodeId> operands) {
  if (const auto known = folded_call(function, to, operands)) return *known;
  Node made{.kind = NodeKind::kCall, .type = to, .name = std::string(function), .operands = std::move(operands)};
  if (is_int(to)) made.range = derived_range(made, 0);
  return add(std::move(made));
}

std::optional<std::int64_t> Graph::int_value(NodeId id) const {
  const Node& at = node(id);
  if (at.kind != NodeKind::kConst || !is_int(at.type)) return std::nullopt;
  return static_cast<std::int64_t>(at.bits);
}

std::optional<bool> Graph::bool_value(NodeId id) const {
  const Node& at = node(id);
  if (at.kind != NodeKind::kConst || at.type != Type::kBool) return std::nullopt;
  return at.bits != 0;
}

std::optional<double> Graph::float_value(NodeId id) const {
  const Node& at = node(id);
  if (at.kind != NodeKind::kConst || at.type != Type::kFloat) return std::nullopt;
  return std::bit_cast<double>(at.bits);
}

bool Graph::depends_on_call(NodeId id) const {
  std::vector<bool> seen(id.index + 1);
  std::vector<NodeId> open = {id};
  while (!open.empty()) {
    const Node& at = node(open.back());
    open.pop_back();
    if (at.kind == NodeKind::kName || at.kind == NodeKind::kRead) return true;
    for (const NodeId operand : at.operands) {
      if (!seen[operand.index]) open.push_back(operand);
      seen[operand.index] = true;
    }
  }
  return false;
}

// The first name sticks: a copy of a variable is called as the variable.
void Graph::set_hint(NodeId id, std::string_view hint) {
  Node& at = nodes_[id.index];
  if (at.hint.empty() && at.kind != NodeKind::kConst && at.kind != NodeKind::kName) at.hint = hint;
}

Range Graph::range_within(NodeId id, int levels) const {
  const Node& at = node(id);
  if (facts_.empty() || !is_int(at.type)) return at.range;
  Range range = levels > 0 ? common(at.range, derived_range(at, levels - 1)) : at.range;
  constexpr std::size_t kRecent = 16;  // a long loop tells little more
  for (std::size_t i = facts_.size() - std::min(facts_.size(), kRecent); i < facts_.size(); ++i) {
    if (facts_[i].node == id) range = common(range, facts_[i].range);
  }
  return range;
}

// At level 0 without facts: a node is shared with places where they do not hold.
Range Graph::derived_range(const Node& node, int levels) const {
  const auto of = [&](std::size_t i) {
    const NodeId operand = node.operands[std::min(i, node.operands.size() - 1)];
    return levels > 0 ? range_within(operand, levels) : this->node(operand).range;
  };
  switch (node.kind) {
    case NodeKind::kOperator: return range_of_operator(node, of(0), of(1));
    case NodeKind::kSelect: return both(of(1), of(2));
    case NodeKind::kCall: return range_of_call(node, of(0), of(1));
    case NodeKind::kConst:
    case NodeKind::kName:
    case NodeKind::kRead: break;
  }
  return node.range;
}

Range Graph::range_of_operator(const Node& node, Range x, Range y) const {
  const Range all = all_of(node.type);
  const bool positive = x.lo >= 0 && y.lo >= 0;
  const std::int64_t most_bits = node.type == Type::kLong ? 63 : 31;
  const bool is_count = y.lo == y.hi && y.lo >= 0 && y.lo < most_bits;
  switch (node.op) {
    case Operator::kNegate: return difference({0, 0}, x, all);
    case Operator::kAdd: return sum(x, y, all);
    case Operator::kSub: return difference(x, y, all);
    case Operator::kMul: return product(x, y, all);
    case Operator::kFloorDiv: return quotient(x, y, all);
    case Operator::kMod: return remainder(x, y, all);
    case Operator::kBitAnd:
      if (positive) return {0, std::min(x.hi, y.hi)};
      if (x.lo >= 0 || y.lo >= 0) return {0, x.lo >= 0 ? x.hi : y.hi};
      return all;
    case Operator::kBitOr:
    case Operator::kBitXor: {
      if (!positive) return all;
      const auto bits = std::bit_width(static_cast<std::uint64_t>(std::max(x.hi, y.hi)));
      return {0, static_cast<std::int64_t>((std::uint64_t{1} << bits) - 1)};
    }
    case Operator::kShiftRight:
      if (is_count) return {x.lo >> y.lo, x.hi >> y.lo};
      return x.lo >= 0 ? Range{0, x.hi} : all;
    case Operator::kShiftLeft: return is_count ? product(x, {std::int64_t{1} << y.lo, std::int64_t{1} << y.lo}, all) : all;
    default: return all;
  }
}

Range Graph::range_of_call(const Node& node, Range x, Range y) const {
  const Range all = all_of(node.type);
  if (node.name == "int64" || node.name == "int") {
    const Type from = type(node.operands[0]);
    if (from == Type::kBool) return {0, 1};
    return from == Type::kFloat ? all : common(all, x);
  }
  if (node.name == "abs") return x.lo > all.lo ? Range{0, std::max(-x.lo, x.hi)} : all;
  if (node.name == "min") return {std::min(x.lo, y.lo), std::min(x.hi, y.hi)};
  if (node.name == "max") return {std::max(x.lo, y.lo), std::max(x.hi, y.hi)};
  return all;
}

std::size_t Graph::assume(NodeId condition, bool holds) {
  const std::size_t before = facts_.size();
  const Node at = node(condition);
  if (at.kind != NodeKind::kOperator) return before;
  if (at.op == Operator::kNot) {
    assume(at.operands[0], !holds);
  } else if (at.op == (holds ? Operator::kAnd : Operator::kOr)) {
    for (NodeId operand : at.operands) assume(operand, holds);
  } else if (is_comparison(at.op) && is_int(type(at.operands[0]))) {
    assume_comparison(holds ? at.op : negated(at.op), at.operands[0], at.operands[1]);
  }
  return before;
}

void Graph::assume_comparison(Operator op, NodeId a, NodeId b) {
  const Range all = all_of(type(a)), x = range(a), y = range(b);
  const auto at_most = [&](NodeId id, std::int64_t most) { facts_.push_back({id, {all.lo, most}}); };
  const auto at_least = [&](NodeId id, std::int64_t least) { facts_.push_back({id, {least, all.hi}}); };
  switch (op) {
    case Operator::kEqual:
      facts_.push_back({a, y});
      facts_.push_back({b, x});
      break;
    case Operator::kLess:
      if (y.hi > all.lo) at_most(a, y.hi - 1);
      if (x.lo < all.hi) at_least(b, x.lo + 1);
      break;
    case Operator::kLessEqual:
      at_most(a, y.hi);
      at_least(b, x.lo);
      break;
    case Operator::kGreater: return assume_comparison(Operator::kLess, b, a);
    case Operator::kGreaterEqual: return assume_comparison(Operator::kLessEqual, b, a);
    default: break;
  }
}

}  // namespace flexjit::cxx
