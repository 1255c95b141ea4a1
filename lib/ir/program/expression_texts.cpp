// One forward loop: a node's text is made of the texts of its operands. Guards are left out, as the language says them by
// conditions and not by operands.
#include "ir/program/expression_texts.h"

#include <fmt/format.h>

#include <span>

#include "ir/passes/passes.h"

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
  // One case a shape of expression; long because ops.def is.
  Text write(Id id) const {
    const Op op = program_.node(id).op;
    switch (op) {
      case Op::kConst: return constant(id);
      case Op::kParam: return {interface_.params[program_.node(id).payload].name};
      case Op::kScore:
      case Op::kBatch:
      case Op::kHead:
      case Op::kQIdx:
      case Op::kKvIdx:
      case Op::kQLen:
      case Op::kKvLen:
      case Op::kNumHeads:
      case Op::kNumKvHeads:
      case Op::kKvHead:
      case Op::kBatchSize: return {std::string(mnemonic(op))};
      case Op::kRead: return {element(program_.read(id).buffer, program_.operands(id).subspan(1), "")};
      case Op::kDot: return dot(id);
      case Op::kNeg: return prefix(id, "-");
      case Op::kNot: return prefix(id, is_bool(id) ? "!" : "~");
      case Op::kAdd: return infix(id, "+", Binding::kSum);
      case Op::kSub: return infix(id, "-", Binding::kSum);
      case Op::kMul: return infix(id, "*", Binding::kProduct);
      case Op::kDiv: return infix(id, "/", Binding::kProduct);
      case Op::kFloorDiv: return infix(id, "//", Binding::kProduct);
      case Op::kMod: return infix(id, "%", Binding::kProduct);
      case Op::kShl: return infix(id, "<<", Binding::kShift);
      case Op::kShr: return infix(id, ">>", Binding::kShift);
      case Op::kAnd: return is_bool(id) ? infix(id, "&&", Binding::kAnd) : infix(id, "&", Binding::kBitAnd);
      case Op::kOr: return is_bool(id) ? infix(id, "||", Binding::kOr) : infix(id, "|", Binding::kBitOr);
      case Op::kXor: return infix(id, "^", Binding::kBitXor);
      case Op::kEq: return compare(id, "==");
      case Op::kNe: return compare(id, "!=");
      case Op::kLt: return compare(id, "<");
      case Op::kLe: return compare(id, "<=");
      case Op::kGt: return compare(id, ">");
      case Op::kGe: return compare(id, ">=");
      case Op::kSelect: return select(id);
      case Op::kIntToFloat: return call(id, "float");
      case Op::kFloatToInt:
      case Op::kLongToInt:
      case Op::kBoolToInt: return call(id, "int");
      case Op::kIntToLong: return {operand(program_.operand(id, 0), Binding::kAtom)};  // happens by itself
      case Op::kMin:
      case Op::kMax:
      case Op::kAbs:
      case Op::kFloor:
      case Op::kCeil:
      case Op::kRound:
      case Op::kSqrt:
      case Op::kExp:
      case Op::kExp2:
      case Op::kLog:
      case Op::kLog2:
      case Op::kLog1p:
      case Op::kTanh:
      case Op::kErf:
      case Op::kSin:
      case Op::kCos:
      case Op::kPow: return call(id, mnemonic(op));
    }
    return {};
  }

  bool is_bool(Id id) const { return program_.node(id).type == Type::kBool; }

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

  // Chains of && and || need no parentheses; elsewhere operators group to the left.
  Text infix(Id id, std::string_view symbol, Binding binding) const {
    const bool chains = binding == Binding::kAnd || binding == Binding::kOr;
    return {fmt::format("{} {} {}", operand(program_.operand(id, 0), binding), symbol,
                        operand(program_.operand(id, 1), chains ? binding : above(binding))),
            binding};
  }

  Text compare(Id id, std::string_view symbol) const {
    const Binding side = above(Binding::kCompare);  // comparisons do not chain
    return {fmt::format("{} {} {}", operand(program_.operand(id, 0), side), symbol, operand(program_.operand(id, 1), side)),
            Binding::kCompare};
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

  Text dot(Id id) const {
    const DotInfo& info = program_.dot(id);
    const auto indices = program_.operands(id).subspan(1);
    const auto split = static_cast<std::size_t>(program_.buffers()[info.buffer_a].rank) - 1;
    const auto row = [&](std::uint32_t buffer, std::span<const Id> of) {
      return element(buffer, of, of.empty() ? ":" : ", :");
    };
    return {fmt::format("dot({}, {})", row(info.buffer_a, indices.first(split)), row(info.buffer_b, indices.subspan(split)))};
  }

  const Program& program_;
  const Interface& interface_;
  const std::vector<std::string>& names_;
  std::vector<Text> texts_;
};

ExpressionTexts::ExpressionTexts(const Program& program, const Interface& interface, const std::vector<std::string>& names)
    : texts_(ExpressionWriter(program, interface, names).run()) {}

}  // namespace flexjit::ir
