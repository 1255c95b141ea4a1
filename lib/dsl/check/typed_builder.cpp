#include "dsl/check/typed_builder.h"

#include <algorithm>

#include "dsl/check/fold_overflow.h"

namespace flexjit::dsl {

TypedId TypedBuilder::add(TypedNode node, std::span<const TypedId> operands) {
  std::uint32_t depth = 0;
  for (TypedId id : operands) {
    if (!id.valid()) return {};
    const TypedNode& operand = checked_.node(id);
    depth = std::max<std::uint32_t>(depth, operand.depth);
    node.reads |= operand.reads;
    node.from_score |= operand.from_score;
  }
  exhausted_ |= depth + 1 > kMaxLevels || checked_.nodes.size() + 1 > kMaxNodes || checked_.operands.size() > kMaxSteps;
  if (exhausted_) return {};
  node.depth = static_cast<std::uint16_t>(depth + 1);
  node.first_operand = static_cast<std::uint32_t>(checked_.operands.size());
  node.operand_count = static_cast<std::uint32_t>(operands.size());
  node.constant = folded(node, operands);
  checked_.operands.insert(checked_.operands.end(), operands.begin(), operands.end());
  checked_.nodes.push_back(node);
  return {static_cast<std::uint32_t>(checked_.nodes.size() - 1)};
}

std::optional<Constant> TypedBuilder::folded(const TypedNode& node, std::span<const TypedId> operands) {
  if (node.kind == TypedKind::kConst) return node.constant;
  if (operands.empty() || node.kind == TypedKind::kRead || node.kind == TypedKind::kDot) return std::nullopt;
  // Nothing that must be known here has 64 bits: they come from buffers alone.
  if (node.type == Type::kLong) return std::nullopt;
  std::vector<Constant> constants;
  for (TypedId id : operands) {
    const TypedNode& operand = checked_.node(id);
    if (!operand.constant) return std::nullopt;
    constants.push_back(*operand.constant);
  }
  const Constant result = fold(node, constants, checked_.precision);
  if (overflows(node, constants, result)) warn_of_overflow(node, result);
  return result;
}

void TypedBuilder::warn_of_overflow(const TypedNode& node, Constant result) {
  const std::string source = checked_.texts[node.span.text].text.substr(node.span.begin, node.span.end - node.span.begin);
  const bool is_fp32 = checked_.precision == support::Precision::kFp32;
  const std::string_view holder = node.type == Type::kInt ? "a 32-bit int" : is_fp32 ? "fp32" : "fp64";
  diagnostics_.warn(Kind::kConstantOverflow, node.span, {quoted(source), holder, shown(result)});
}

TypedId TypedBuilder::constant(Constant value, Span span) {
  TypedNode node;
  node.kind = TypedKind::kConst;
  node.type = value.type;
  node.constant = value.type == Type::kFloat ? Constant::of(support::rounded(checked_.precision, value.as_float())) : value;
  node.span = span;
  return add(node, {});
}

TypedId TypedBuilder::convert(TypedId id, Type type, Span span) {
  if (!id.valid() || type_of(id) == type) return id;
  TypedNode node;
  node.kind = TypedKind::kConvert;
  node.type = type;
  node.span = span;
  return add(node, {&id, 1});
}

void TypedBuilder::rewind(const Mark& mark) {
  checked_.nodes.resize(mark.nodes);
  checked_.operands.resize(mark.operands);
  checked_.dots.resize(mark.dots);
}

}  // namespace flexjit::dsl
