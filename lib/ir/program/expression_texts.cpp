// One forward loop: a node's text is made of the texts of its operands. Guards are left out, as the language says them by
// conditions and not by operands.
#include "ir/program/expression_texts.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "ir/passes/passes.h"
#include "support/check.h"

namespace flexjit::ir {

class ExpressionWriter {
 public:
  using Binding = ExpressionTexts::Binding;
  using Text = ExpressionTexts::Text;

  ExpressionWriter(const Program& program, const Interface& interface, const std::vector<std::string>& names)
      : program_(program), interface_(interface), names_(names) {}

  std::vector<Text> run() {
    for (std::uint32_t i = 0; i < program_.size(); ++i) texts_.push_back(write(Id{i}));
    return std::move(texts_);
  }

 private:
  // One case a shape of expression.
  Text write(Id id) const {
    const Node& node = program_.node(id);
    switch (type_rule(node.op)) {
      case TypeRule::kConst: return constant(id);
      case TypeRule::kVariable:
        return {node.op == Op::kParam ? interface_.params[node.payload].name : std::string(mnemonic(node.op))};
      case TypeRule::kVariadic: return access(id);
      case TypeRule::kChoice: return select(id);
      case TypeRule::kIntToLong: return {operand(program_.operand(id, 0), Binding::kAtom)};  // happens by itself
      case TypeRule::kIntToFloat:
      case TypeRule::kFloatToInt:
      case TypeRule::kLongToInt:
      case TypeRule::kBoolToInt: return call(id, name_of(node.type));
      case TypeRule::kNumeric:
      case TypeRule::kFloat:
      case TypeRule::kInteger:
      case TypeRule::kBits:
      case TypeRule::kCompare:
      case TypeRule::kEqual:
      case TypeRule::kRandom: return operation(id);
    }
    return {};
  }

  Text operation(Id id) const {
    const auto operands = program_.operands(id);
    const std::string_view symbol = symbol_of(program_.node(id).op, program_.node(operands[0]).type);
    if (symbol.empty()) return call(id, mnemonic(program_.node(id).op));
    return operands.size() == 1 ? prefix(id, symbol) : infix(id, symbol);
  }

  Text constant(Id id) const {
    std::string text = print_constant(program_, id);
    const bool negative = text.starts_with('-');
    return {std::move(text), negative ? Binding::kUnary : Binding::kAtom};
  }

  // The operand as it stands where at least `weakest` is needed.
  std::string operand(Id id, Binding weakest) const {
    if (id.index < names_.size() && !names_[id.index].empty()) return names_[id.index];
    const Text& text = texts_[id.index];
    if (text.text.size() > ExpressionTexts::kMaxOperand) return fmt::format("%{}", id.index);
    return text.binding < weakest ? "(" + text.text + ")" : text.text;
  }

  static Binding above(Binding binding) { return static_cast<Binding>(static_cast<int>(binding) + 1); }

  Text prefix(Id id, std::string_view symbol) const {
    return {fmt::format("{}{}", symbol, operand(program_.operand(id, 0), Binding::kAtom)), Binding::kUnary};
  }

  // Of the operators that stand between two operands.
  static Binding binding_of(std::string_view symbol) {
    static constexpr std::pair<std::string_view, Binding> kBindings[] = {
        {"||", Binding::kOr},     {"&&", Binding::kAnd},     {"==", Binding::kCompare}, {"!=", Binding::kCompare},
        {"<", Binding::kCompare}, {"<=", Binding::kCompare}, {">", Binding::kCompare},  {">=", Binding::kCompare},
        {"|", Binding::kBitOr},   {"^", Binding::kBitXor},   {"&", Binding::kBitAnd},   {"<<", Binding::kShift},
        {">>", Binding::kShift},  {"+", Binding::kSum},      {"-", Binding::kSum},      {"*", Binding::kProduct},
        {"/", Binding::kProduct}, {"//", Binding::kProduct}, {"%", Binding::kProduct}};
    const auto* found = std::ranges::find(kBindings, symbol, &std::pair<std::string_view, Binding>::first);
    FLEXJIT_CHECK(found != std::end(kBindings), std::string(symbol) + " has no binding");
    return found->second;
  }

  // Operators group to the left; comparisons do not chain, and chains of && and || need no parentheses.
  Text infix(Id id, std::string_view symbol) const {
    const Binding binding = binding_of(symbol);
    const bool chains = binding == Binding::kAnd || binding == Binding::kOr;
    return {fmt::format("{} {} {}", operand(program_.operand(id, 0), binding == Binding::kCompare ? above(binding) : binding),
                        symbol, operand(program_.operand(id, 1), chains ? binding : above(binding))),
            binding};
  }

  Text select(Id id) const {
    const Binding side = above(Binding::kConditional);
    return {fmt::format("{} ? {} : {}", operand(program_.operand(id, 0), side), operand(program_.operand(id, 1), side),
                        operand(program_.operand(id, 2), Binding::kConditional)),
            Binding::kConditional};
  }

  std::string list(std::span<const Id> ids) const {
    std::string text;
    for (Id id : ids) text += (text.empty() ? "" : ", ") + operand(id, Binding::kConditional);
    return text;
  }

  Text call(Id id, std::string_view function) const { return {fmt::format("{}({})", function, list(program_.operands(id)))}; }

  std::string element(std::uint32_t buffer, std::span<const Id> indices, std::string_view tail) const {
    return fmt::format("{}[{}{}]", interface_.buffers[buffer].name, list(indices), tail);
  }

  // What adds is written as the language would, had it statements that add.
  Text access(Id id) const {
    const Op op = program_.node(id).op;
    const std::string added = accumulates(op) ? operand(program_.operand(id, 1), Binding::kProduct) : std::string();
    if (op == Op::kRead || op == Op::kAccumulate) {
      const std::string place = element(program_.read(id).buffer, program_.indices(id), "");
      return {added.empty() ? place : fmt::format("grad {} += {}", place, added)};
    }
    return dot(id, added);
  }

  Text dot(Id id, const std::string& added) const {
    const DotInfo& info = program_.dot(id);
    const auto indices = program_.indices(id);
    const auto split = static_cast<std::size_t>(program_.buffers()[info.buffer_a].rank) - 1;
    const auto row = [&](std::uint32_t buffer, std::span<const Id> of) {
      return element(buffer, of, of.empty() ? ":" : ", :");
    };
    const std::string a = row(info.buffer_a, indices.first(split)), b = row(info.buffer_b, indices.subspan(split));
    return {added.empty() ? fmt::format("dot({}, {})", a, b) : fmt::format("grad {} += {} * {}", a, added, b)};
  }

  const Program& program_;
  const Interface& interface_;
  const std::vector<std::string>& names_;
  std::vector<Text> texts_;
};

ExpressionTexts::ExpressionTexts(const Program& program, const Interface& interface, const std::vector<std::string>& names)
    : texts_(ExpressionWriter(program, interface, names).run()) {}

}  // namespace flexjit::ir
