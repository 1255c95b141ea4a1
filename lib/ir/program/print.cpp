// Program -> text, one line a node. The form without names is the identity of a kernel: it holds everything that a Program
// holds, constants with all their bits included. The form with names is for people and differs in nothing else.
#include <fmt/format.h>

#include <iterator>
#include <optional>

#include "ir/passes/passes.h"

namespace flexjit::ir {
namespace {

class Printer {
 public:
  Printer(const Program& program, const Interface* interface) : program_(program), interface_(interface) {}

  std::string text() {
    print_declarations();
    for (std::uint32_t i = 0; i < program_.size(); ++i) print_node(Id{i});
    for (const RootFacts& facts : kRoots) {
      const Id root = program_.roots()[facts.root];
      if (root.valid()) fmt::format_to(out(), "{} = %{}\n", facts.name, root.index);
    }
    for (Id id : program_.accumulations()) fmt::format_to(out(), "accumulates %{}\n", id.index);
    return std::move(text_);
  }

 private:
  std::back_insert_iterator<std::string> out() { return std::back_inserter(text_); }

  std::string buffer_name(std::uint32_t slot) const {
    return interface_ == nullptr ? fmt::format("#{}", slot) : interface_->buffers[slot].name;
  }
  std::string param_name(std::uint32_t slot) const {
    return interface_ == nullptr ? fmt::format("#{}", slot) : interface_->params[slot].name;
  }

  void print_declarations() {
    if (program_.precision() == Precision::kFp64) text_ += "floats are f64\n";
    std::uint32_t slot = 0;
    for (const BufferType& buffer : program_.buffers()) {
      fmt::format_to(out(), "buffer {} : {} rank {}\n", buffer_name(slot++), name_of(buffer.dtype), buffer.rank);
    }
    slot = 0;
    for (Type type : program_.params()) fmt::format_to(out(), "param {} : {}\n", param_name(slot++), name_of(type));
  }

  void print_node(Id id) {
    const Node& node = program_.node(id);
    fmt::format_to(out(), "%{} = ", id.index);
    switch (type_rule(node.op)) {
      case TypeRule::kConst: fmt::format_to(out(), "const {}", print_constant(program_, id)); break;
      case TypeRule::kVariadic: print_access(id); break;
      case TypeRule::kVariable:
        text_ += mnemonic(node.op);
        if (node.op == Op::kParam) text_ += " " + param_name(node.payload);
        break;
      case TypeRule::kNumeric:
      case TypeRule::kFloat:
      case TypeRule::kInteger:
      case TypeRule::kBits:
      case TypeRule::kCompare:
      case TypeRule::kEqual:
      case TypeRule::kChoice:
      case TypeRule::kIntToFloat:
      case TypeRule::kFloatToInt:
      case TypeRule::kBoolToInt:
      case TypeRule::kIntToLong:
      case TypeRule::kLongToInt:
      case TypeRule::kRandom: fmt::format_to(out(), "{} {}", mnemonic(node.op), list(program_.operands(id))); break;
    }
    fmt::format_to(out(), " : {}\n", name_of(node.type));
  }

  static std::string list(std::span<const Id> ids, std::string_view tail = {}) {
    std::string text;
    for (Id id : ids) text += fmt::format("{}%{}", text.empty() ? "" : ", ", id.index);
    if (!tail.empty()) text += fmt::format("{}{}", text.empty() ? "" : ", ", tail);
    return text;
  }

  void print_access(Id id) {
    const auto operands = program_.operands(id);
    const auto indices = program_.indices(id);
    const Op op = program_.node(id).op;
    const std::string added = accumulates(op) ? fmt::format(" += %{}", operands[1].index) : std::string();
    if (op == Op::kRead || op == Op::kAccumulate) {
      const ReadInfo& info = program_.read(id);
      fmt::format_to(out(), "{} {}[{}]{}", mnemonic(op), buffer_name(info.buffer), list(indices), added);
      print_safety(operands[0], info.checked ? std::optional(info.site) : std::nullopt);
      return;
    }
    const DotInfo& info = program_.dot(id);
    const auto split = static_cast<std::size_t>(program_.buffers()[info.buffer_a].rank) - 1;
    const std::string a = fmt::format("{}[{}]", buffer_name(info.buffer_a), list(indices.first(split), ":"));
    const std::string b = fmt::format("{}[{}]", buffer_name(info.buffer_b), list(indices.subspan(split), ":"));
    fmt::format_to(out(), "{} {}{} {}{} extent {}", mnemonic(op), a, added, added.empty() ? "" : "* ", b, info.extent);
    print_safety(operands[0], info.checked ? std::optional(info.site) : std::nullopt);
  }

  void print_safety(Id guard, std::optional<std::uint32_t> site) {
    fmt::format_to(out(), " if %{}", guard.index);
    if (site) fmt::format_to(out(), " checked at {}", *site);
  }

  const Program& program_;
  const Interface* interface_;
  std::string text_;
};

}  // namespace

std::string print_constant(const Program& program, Id id) {
  switch (program.node(id).type) {
    case Type::kInt: return fmt::format("{}", program.const_int(id));
    case Type::kBool: return program.const_bool(id) ? "true" : "false";
    case Type::kLong: return fmt::format("{}", program.const_long(id));
    case Type::kFloat: break;
  }
  const double value = program.const_float(id);
  // The shortest text of an fp32 number has fewer digits than that of the same number in fp64.
  const bool is_fp32 = program.precision() == Precision::kFp32;
  std::string text = is_fp32 ? fmt::format("{}", static_cast<float>(value)) : fmt::format("{}", value);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

std::string print(const Program& program) { return Printer(program, nullptr).text(); }
std::string print(const Program& program, const Interface& interface) { return Printer(program, &interface).text(); }

std::string spelling_of(const Extent& extent, const Interface& interface) {
  switch (extent.kind) {
    case Extent::Kind::kAny: return "?";
    case Extent::Kind::kLiteral: return std::to_string(extent.literal);
    case Extent::Kind::kBuiltin: return std::string(mnemonic(extent.builtin));
    case Extent::Kind::kParam: return interface.params[extent.param].name;
  }
  return {};
}

}  // namespace flexjit::ir
