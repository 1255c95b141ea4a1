// The recursion is bounded by the depth of the typed graph, which the checker bounds.
#include "ir/lower/lower_expression.h"

#include <bit>

#include "dsl/check/check.h"
#include "ir/lower/lower_functions.h"

namespace flexjit::ir {

ExpressionLowering::ExpressionLowering(const dsl::Checked& checked, ProgramBuilder& builder, Interface& interface)
    : checked_(checked),
      builder_(builder),
      interface_(interface),
      guards_(builder),
      needs_(unconditional_needs(checked)),
      instances_(checked.nodes.size()) {}

Id ExpressionLowering::lower_root(dsl::TypedId root) {
  lower_needs(root, Guards::kAlways);
  return lower(root, Guards::kAlways);
}

Id ExpressionLowering::lower(dsl::TypedId id, GuardId guard) {
  const dsl::TypedNode& node = checked_.node(id);
  if (exhausted_) return lower_const({node.type, 0});
  std::vector<Instance>& instances = instances_[id.index];
  for (const Instance& instance : instances) {
    if (!node.reads || guards_.implies(guard, instance.guard)) return instance.id;
  }
  const Id lowered = lower_node(id, guard);
  instances.push_back({guard, lowered});
  mark(node.span, lowered);
  exhausted_ |= builder_.program().size() > dsl::kMaxNodes;
  return lowered;
}

void ExpressionLowering::mark(dsl::Span span, Id id) {
  builder_.mark(id);
  const dsl::Span shown = dsl::shown_place(checked_.texts, span).span;
  interface_.expressions.push_back({.text = shown.text, .begin = shown.begin, .end = shown.end});
}

Id ExpressionLowering::lower_node(dsl::TypedId id, GuardId guard) {
  const dsl::TypedNode& node = checked_.node(id);
  switch (node.kind) {
    case dsl::TypedKind::kConst: return lower_const(*node.constant);
    case dsl::TypedKind::kBuiltin: return lower_builtin(builder_, static_cast<dsl::Builtin>(node.payload));
    case dsl::TypedKind::kParam: return builder_.param(node.payload);
    case dsl::TypedKind::kRead: return lower_read(id, guard);
    case dsl::TypedKind::kDot: return lower_dot(id, guard);
    case dsl::TypedKind::kOperator: return lower_operator_node(id, guard);
    case dsl::TypedKind::kSelect: return lower_select(id, guard);
    case dsl::TypedKind::kMember: return lower_member(id, guard);
    case dsl::TypedKind::kConvert: return lower_conversion(builder_, type_of(node.type), lower_operands(id, guard)[0]);
    case dsl::TypedKind::kCall: return lower_function(builder_, node.function, lower_operands(id, guard));
  }
  return {};
}

Id ExpressionLowering::lower_const(dsl::Constant value) {
  switch (value.type) {
    case dsl::Type::kInt: return builder_.const_int(value.as_int());
    case dsl::Type::kFloat: return builder_.const_float(value.as_float());
    case dsl::Type::kBool: return builder_.const_bool(value.as_bool());
    case dsl::Type::kLong: return builder_.const_long(std::bit_cast<std::int64_t>(value.bits));
  }
  return {};
}

std::vector<Id> ExpressionLowering::lower_operands(dsl::TypedId id, GuardId guard) {
  std::vector<Id> lowered;
  for (dsl::TypedId operand : checked_.operands_of(id)) lowered.push_back(lower(operand, guard));
  return lowered;
}

Id ExpressionLowering::lower_operator_node(dsl::TypedId id, GuardId guard) {
  const dsl::Operator op = checked_.node(id).op;
  if (op != dsl::Operator::kAnd && op != dsl::Operator::kOr) return lower_operator(builder_, op, lower_operands(id, guard));
  const auto operands = checked_.operands_of(id);
  const Id left = lower(operands[0], guard);
  const Id right = lower_side(operands[1], guard, left, op == dsl::Operator::kAnd ? Outcome::kTrue : Outcome::kFalse);
  const Id both[] = {left, right};
  return lower_operator(builder_, op, both);
}

Id ExpressionLowering::lower_select(dsl::TypedId id, GuardId guard) {
  const auto operands = checked_.operands_of(id);
  const Id condition = lower(operands[0], guard);
  const Id yes = lower_side(operands[1], guard, condition, Outcome::kTrue);
  const Id no = lower_side(operands[2], guard, condition, Outcome::kFalse);
  return builder_.make(Op::kSelect, {condition, yes, no});
}

// Without reads a side needs no guard, and without a guard it is shared with every other use.
Id ExpressionLowering::lower_side(dsl::TypedId side, GuardId guard, Id condition, Outcome outcome) {
  if (exhausted_ || !checked_.node(side).reads) return lower(side, guard);
  const GuardId inner = guards_.also(guard, condition, outcome);
  lower_needs(side, inner);
  return lower(side, inner);
}

Id ExpressionLowering::lower_member(dsl::TypedId id, GuardId guard) {
  const std::vector<Id> operands = lower_operands(id, guard);
  Id result = builder_.make(Op::kEq, {operands[0], operands[1]});
  for (std::size_t i = 2; i < operands.size(); ++i) {
    result = builder_.make(Op::kOr, {result, builder_.make(Op::kEq, {operands[0], operands[i]})});
  }
  return result;
}

Id ExpressionLowering::lower_read(dsl::TypedId id, GuardId guard) {
  const dsl::TypedNode& node = checked_.node(id);
  std::vector<Id> operands = lower_operands(id, guard);
  operands.insert(operands.begin(), guards_.condition(guard));
  return builder_.read({.buffer = node.payload, .site = site_of(node.span, node.payload), .checked = true}, operands);
}

Id ExpressionLowering::lower_dot(dsl::TypedId id, GuardId guard) {
  const dsl::TypedNode& node = checked_.node(id);
  const dsl::DotRead& dot = checked_.dots[node.payload];
  std::vector<Id> operands = lower_operands(id, guard);
  operands.insert(operands.begin(), guards_.condition(guard));
  const std::uint32_t site = site_of(node.span, dot.buffer_a);
  return builder_.dot({dot.buffer_a, dot.buffer_b, dot.extent, site, true}, operands);
}

// Makes what `root` needs in any case available under `guard`, before anything is made under a stronger one.
void ExpressionLowering::lower_needs(dsl::TypedId root, GuardId guard) {
  const Needs& needs = needs_[root.index];
  if (!needs) return;
  for (std::uint32_t node : *needs) lower({node}, guard);
}

std::uint32_t ExpressionLowering::site_of(dsl::Span span, std::uint32_t buffer) {
  const auto next = static_cast<std::uint32_t>(interface_.sites.size());
  const auto [entry, is_new] = known_sites_.try_emplace({span.text, span.begin, span.end}, next);
  if (!is_new) return entry->second;
  const dsl::Place place = dsl::shown_place(checked_.texts, span);
  dsl::Location location = dsl::locate(place.text->text, place.span);
  interface_.sites.push_back({.buffer = buffer,
                              .source_name = place.text->name,
                              .line = location.line,
                              .column = location.column,
                              .length = location.length,
                              .snippet = std::move(location.snippet)});
  return next;
}

}  // namespace flexjit::ir
