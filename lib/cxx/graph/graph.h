// Expressions of the language as a graph in which equal ones are one node: what C++ functions are executed into, and what
// becomes a program's text. Ints and bools that are known fold as they are made, because loops and branches ask for them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cxx/graph/range.h"
#include "dsl/parse/ast.h"
#include "dsl/parse/source_location.h"
#include "dsl/vocabulary/vocabulary.h"
#include "support/typed_id.h"

namespace flexjit::cxx {

using dsl::Operator;
using dsl::Type;
using NodeId = support::TypedId<struct NodeTag>;

enum class NodeKind : std::uint8_t {
  kConst,     // bits: an int, an int64, the bits of a double, or a bool
  kName,      // name: a builtin value or a param
  kRead,      // name[operands...]
  kOperator,  // op, one or two operands
  kSelect,    // condition ? yes : no
  kCall       // name(operands...)
};

struct Node {
  NodeKind kind = NodeKind::kConst;
  Type type = Type::kInt;
  Operator op = Operator::kNone;
  std::uint16_t depth = 1;
  std::uint64_t bits = 0;
  std::string name{};
  std::vector<NodeId> operands{};
  Range range{};       // of ints
  dsl::Span place{};   // in the C++ text that it was first made for
  std::string hint{};  // what the C++ text calls it; empty: nothing
};

class Graph {
 public:
  static constexpr std::size_t kMaxNodes = 20'000;

  // Made from now on for this place of the C++ texts.
  void set_place(dsl::Span place) { place_ = place; }
  dsl::Span place() const { return place_; }

  NodeId constant(std::int32_t value);
  NodeId constant(bool value);
  NodeId constant(double value);
  NodeId constant_long(std::int64_t value);
  NodeId integer(Type type, std::int64_t value);  // of an int wrapped to 32 bits
  NodeId name(std::string_view name, Type type, Range range);
  NodeId read(std::string_view buffer, Type type, Range range, std::vector<NodeId> indices);
  // The operands have one type, those of && || ! are bools.
  NodeId unary(Operator op, NodeId a);
  NodeId binary(Operator op, NodeId a, NodeId b);
  NodeId select(NodeId condition, NodeId yes, NodeId no);
  // min, max, abs, a cast or a function of floats.
  NodeId call(std::string_view function, Type type, std::vector<NodeId> operands);

  const Node& node(NodeId id) const { return nodes_[id.index]; }
  Type type(NodeId id) const { return node(id).type; }
  std::optional<std::int64_t> int_value(NodeId id) const;  // of an int or an int64
  std::optional<bool> bool_value(NodeId id) const;
  std::optional<double> float_value(NodeId id) const;
  bool depends_on_call(NodeId id) const;  // whether it is computed from a builtin value, a param or a buffer
  bool is_full() const { return nodes_.size() >= kMaxNodes; }
  void set_hint(NodeId id, std::string_view hint);

  // With what the conditions say under which it is asked for, of the node and of what it is computed from.
  Range range(NodeId id) const { return range_within(id, kRangeLevels); }
  // Until drop_facts(the number that it returns): that a condition holds, or does not.
  std::size_t assume(NodeId condition, bool holds);
  void drop_facts(std::size_t count) { facts_.resize(count); }

 private:
  struct Fact {
    NodeId node;
    Range range;
  };

  NodeId add(Node node);
  std::optional<NodeId> folded(Operator op, NodeId a, NodeId b);
  std::optional<NodeId> folded_logic(Operator op, NodeId a, NodeId b);
  std::optional<NodeId> folded_call(std::string_view function, Type type, std::span<const NodeId> operands);
  static constexpr int kRangeLevels = 4;  // of expressions that a condition tells of

  Range range_within(NodeId id, int levels) const;
  // From those of its operands.
  Range range_of_operator(const Node& node, Range x, Range y) const;
  Range range_of_call(const Node& node, Range x, Range y) const;
  Range derived_range(const Node& node, int levels) const;
  void assume_comparison(Operator op, NodeId a, NodeId b);

  std::vector<Node> nodes_;
  std::unordered_multimap<std::size_t, std::uint32_t> index_;
  std::vector<Fact> facts_;
  dsl::Span place_{};
};

// What is made while it lives is made for the place of a node.
class PlaceOf {
 public:
  PlaceOf(Graph& graph, NodeId node) : graph_(graph), outer_(graph.place()) { graph.set_place(graph.node(node).place); }
  ~PlaceOf() { graph_.set_place(outer_); }
  PlaceOf(const PlaceOf&) = delete;
  PlaceOf& operator=(const PlaceOf&) = delete;

 private:
  Graph& graph_;
  dsl::Span outer_;
};

inline bool is_comparison(Operator op) { return op >= Operator::kEqual && op <= Operator::kGreaterEqual; }

// The wrapped result of an operation on ints of a type; absent where it is none of arithmetic, shifts and bits.
std::optional<std::int64_t> fold_int(Operator op, Type type, std::int64_t a, std::int64_t b);

}  // namespace flexjit::cxx
