// Nodes precede their users, so that one forward loop writes every `let` where all that it reads is defined.
#include "cxx/graph/print.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>
#include <tuple>

namespace flexjit::cxx {
namespace {

constexpr std::uint16_t kMaxInline = 24;  // levels of one expression, far from what the parser bounds

// Of the language, strongest first.
int strength_of(Operator op) {
  switch (op) {
    case Operator::kNegate:
    case Operator::kNot:
    case Operator::kBitNot: return 1;
    case Operator::kMul:
    case Operator::kDiv:
    case Operator::kFloorDiv:
    case Operator::kMod: return 2;
    case Operator::kAdd:
    case Operator::kSub: return 3;
    case Operator::kShiftLeft:
    case Operator::kShiftRight: return 4;
    case Operator::kBitAnd: return 5;
    case Operator::kBitXor: return 6;
    case Operator::kBitOr: return 7;
    case Operator::kAnd: return 10;
    case Operator::kOr: return 11;
    default: return 8;  // comparisons
  }
}
constexpr int kSelectStrength = 12;

std::string float_text(double value) {
  if (std::isnan(value)) return "(0.0 / 0.0)";
  if (std::isinf(value)) return value < 0 ? "(-inf)" : "inf";
  const auto narrow = static_cast<float>(value);
  std::string text = static_cast<double>(narrow) == value ? fmt::format("{}", narrow) : fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text.front() == '-' ? "(" + text + ")" : text;
}

std::string int_text(std::int64_t value) { return value < 0 ? fmt::format("({})", value) : fmt::format("{}", value); }

// The language has no literals of 64 bits.
std::string long_text(std::int64_t value) {
  if (Range{value, value}.is_inside(kAnyInt)) return fmt::format("int64({})", value);
  const auto low = static_cast<std::uint32_t>(static_cast<std::uint64_t>(value));
  return fmt::format("(int64({}) << 32 | int64({}) << 16 | int64({}))", value >> 32, low >> 16, low & 0xffff);
}

class Printer {
 public:
  Printer(const Graph& graph, const std::vector<Declaration>& declarations, const std::vector<Output>& results)
      : graph_(graph), declarations_(declarations), results_(results) {}

  Printed run() && {
    for (const Declaration& declaration : declarations_) {
      taken_.insert(declaration.name);
      const std::size_t begin = out_.text.size();
      out_.text += declaration.text;
      add_piece(begin, declaration.place);
      out_.text += '\n';
    }
    count_uses();
    for (std::uint32_t i = 0; i < uses_.size(); ++i) {
      if (is_named(NodeId{i})) write_let(NodeId{i});
    }
    for (const Output& result : results_) {
      const std::size_t begin = out_.text.size();
      out_.text += result.name + " = ";
      write(result.value);
      add_piece(begin, graph_.node(result.value).place);
      out_.text += '\n';
    }
    link_pieces();
    return std::move(out_);
  }

 private:
  void count_uses() {
    std::uint32_t last = 0;
    for (const Output& result : results_) last = std::max(last, result.value.index);
    uses_.assign(last + 1, 0);
    levels_.assign(last + 1, 1);
    for (const Output& result : results_) uses_[result.value.index] += 1;
    for (std::uint32_t i = last + 1; i-- > 0;) {
      if (uses_[i] == 0) continue;
      for (NodeId operand : graph_.node(NodeId{i}).operands) uses_[operand.index] += 1;
    }
    for (std::uint32_t i = 0; i <= last; ++i) {
      if (uses_[i] == 0) continue;
      for (NodeId operand : graph_.node(NodeId{i}).operands) {
        const std::uint16_t below = is_named(operand) ? 1 : levels_[operand.index];
        levels_[i] = std::max<std::uint16_t>(levels_[i], below + 1);
      }
      if (levels_[i] > kMaxInline) uses_[i] = std::max(uses_[i], 2U);
    }
  }

  // Constants and names are as short as the name of a let.
  bool is_named(NodeId id) const {
    const Node& node = graph_.node(id);
    return uses_[id.index] > 1 && node.kind != NodeKind::kConst && node.kind != NodeKind::kName;
  }

  void write_let(NodeId id) {
    const std::string name = fresh_name(graph_.node(id).hint);
    const std::size_t begin = out_.text.size();
    out_.text += "let " + name + " = ";
    write_value(id);
    add_piece(begin, graph_.node(id).place);
    out_.text += '\n';
    names_.emplace(id.index, name);
  }

  std::string fresh_name(const std::string& hint) {
    const std::string base = hint.empty() ? "t" : hint;
    std::string name = hint.empty() ? fmt::format("t{}", ++count_) : base;
    const auto is_free = [&](const std::string& wanted) {
      return dsl::why_reserved(wanted).empty() && !dsl::find_builtin(wanted) && !taken_.contains(wanted) && wanted != "mask";
    };
    while (!is_free(name)) name = fmt::format("{}_{}", base, ++count_);
    taken_.insert(name);
    return name;
  }

  void write(NodeId id) {
    const auto named = names_.find(id.index);
    if (named == names_.end()) return write_value(id);
    const std::size_t begin = out_.text.size();
    out_.text += named->second;
    add_piece(begin, graph_.node(id).place);
  }

  void write_value(NodeId id) {
    const Node& node = graph_.node(id);
    const std::size_t begin = out_.text.size();
    switch (node.kind) {
      case NodeKind::kConst: write_constant(node); break;
      case NodeKind::kName: out_.text += node.name; break;
      case NodeKind::kRead: write_list(node, '[', ']'); break;
      case NodeKind::kCall: write_list(node, '(', ')'); break;
      case NodeKind::kOperator: write_operator(node); break;
      case NodeKind::kSelect:
        write_operand(node.operands[0], kSelectStrength - 1);
        out_.text += " ? ";
        write_operand(node.operands[1], kSelectStrength - 1);
        out_.text += " : ";
        write_operand(node.operands[2], kSelectStrength);
        break;
    }
    add_piece(begin, node.place);
  }

  void write_constant(const Node& node) {
    switch (node.type) {
      case Type::kInt: out_.text += int_text(static_cast<std::int64_t>(node.bits)); break;
      case Type::kLong: out_.text += long_text(static_cast<std::int64_t>(node.bits)); break;
      case Type::kFloat: out_.text += float_text(std::bit_cast<double>(node.bits)); break;
      case Type::kBool: out_.text += node.bits != 0 ? "true" : "false"; break;
    }
  }

  void write_list(const Node& node, char open, char close) {
    out_.text += node.name;
    out_.text += open;
    for (std::size_t i = 0; i < node.operands.size(); ++i) {
      if (i > 0) out_.text += ", ";
      write(node.operands[i]);
    }
    out_.text += close;
  }

  void write_operator(const Node& node) {
    const int strength = strength_of(node.op);
    const bool is_comparison = strength == 8;
    if (node.operands.size() == 1) {
      out_.text += dsl::spelling_of(node.op);
      return write_operand(node.operands[0], 0);
    }
    write_operand(node.operands[0], is_comparison ? strength - 1 : strength);
    out_.text += ' ';
    out_.text += dsl::spelling_of(node.op);
    out_.text += ' ';
    write_operand(node.operands[1], strength - 1);
  }

  // In parentheses where it binds less than `weakest`.
  void write_operand(NodeId id, int weakest) {
    const Node& node = graph_.node(id);
    int strength = 0;
    if (node.kind == NodeKind::kOperator) strength = strength_of(node.op);
    if (node.kind == NodeKind::kSelect) strength = kSelectStrength;
    const bool encloses = !names_.contains(id.index) && strength > weakest;
    if (encloses) out_.text += '(';
    write(id);
    if (encloses) out_.text += ')';
  }

  void add_piece(std::size_t begin, dsl::Span place) {
    out_.pieces.push_back({.begin = static_cast<std::uint32_t>(begin),
                           .end = static_cast<std::uint32_t>(out_.text.size()),
                           .text = place.text,
                           .origin_begin = place.begin,
                           .origin_end = place.end});
  }

  void link_pieces() {
    std::vector<dsl::Origin::Piece>& pieces = out_.pieces;
    std::vector<std::tuple<std::uint32_t, std::uint32_t, std::size_t>>
        order;  // as they begin, the longer first, then as written
    for (const dsl::Origin::Piece& piece : pieces) order.emplace_back(piece.begin, ~piece.end, order.size());
    std::ranges::sort(order);
    std::vector<dsl::Origin::Piece> sorted;
    for (const auto& [begin, longer, at] : order) sorted.push_back(pieces[at]);
    pieces = std::move(sorted);
    std::vector<std::uint32_t> around;
    for (std::uint32_t i = 0; i < pieces.size(); ++i) {
      while (!around.empty() && pieces[around.back()].end <= pieces[i].begin) around.pop_back();
      pieces[i].outer = around.empty() ? i : around.back();
      around.push_back(i);
    }
  }

  const Graph& graph_;
  const std::vector<Declaration>& declarations_;
  const std::vector<Output>& results_;
  Printed out_;
  std::vector<std::uint32_t> uses_;
  std::vector<std::uint16_t> levels_;
  std::unordered_map<std::uint32_t, std::string> names_;
  std::set<std::string> taken_;
  int count_ = 0;
};

}  // namespace

Printed print(const Graph& graph, const std::vector<Declaration>& declarations, const std::vector<Output>& results) {
  return Printer(graph, declarations, results).run();
}

}  // namespace flexjit::cxx
