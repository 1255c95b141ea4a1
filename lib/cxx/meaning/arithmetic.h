// What C++ means by an operation, said in the language: promotions have been made, so that both operands have one type.
// Ints of C++ wrap (signed ones too, where C++ leaves it open), divide toward zero, and 0 where the divisor is 0.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "cxx/meaning/scalar.h"
#include "support/precision.h"

namespace flexjit::cxx {

// Told of floats whose values have more digits in C++ than the pattern computes with: what is computed so, at graph.place().
using LostDigits = std::function<void(std::string_view what)>;

class Arithmetic {
 public:
  Arithmetic(Graph& graph, support::Precision precision, LostDigits lost)
      : graph_(graph), precision_(precision), lost_(std::move(lost)) {}

  Scalar integer(ScalarType type, std::int64_t value);  // of its bits; of a bool whether it is not 0
  Scalar floating(ScalarType type, double value);

  Scalar convert(Scalar value, ScalarType to);
  // Of + - * / %, shifts, & | ^ and comparisons: kDiv and kMod are C++'s.
  Scalar binary(Operator op, Scalar a, Scalar b);
  Scalar unary(Operator op, Scalar a);  // - ~ !
  Scalar select(NodeId condition, Scalar yes, Scalar no);
  // A function of floats, of the language's name.
  Scalar call(std::string_view function, std::initializer_list<Scalar> operands);
  Scalar minimum(std::string_view function, Scalar a, Scalar b);  // min or max of the language, of one type
  Scalar absolute(Scalar a);

 private:
  // integers.cpp
  Scalar int_operation(Operator op, Scalar a, Scalar b);
  Scalar shift(Operator op, Scalar a, Scalar b);
  Scalar compare_ints(Operator op, Scalar a, Scalar b);
  NodeId less_unsigned(NodeId a, NodeId b, bool or_equal);
  NodeId divided(ScalarType type, NodeId a, NodeId b);
  NodeId remainder(ScalarType type, NodeId a, NodeId b);
  NodeId divided_unsigned(NodeId a, NodeId b);
  NodeId shifted_right_unsigned(NodeId a, NodeId count);
  NodeId wrapped(NodeId id, ScalarType to);  // an int of 32 bits into one of fewer
  NodeId to_int_of(NodeId id, ScalarType from, ScalarType to);

  // floats.cpp
  Scalar float_operation(Operator op, Scalar a, Scalar b);
  Scalar compare_floats(Operator op, Scalar a, Scalar b);
  std::optional<NodeId> compared_with_double(Operator op, Scalar a, double b);
  Scalar to_floating(Scalar value, ScalarType to);
  NodeId from_unsigned(NodeId id);
  NodeId floating_to_int(Scalar value, ScalarType to);
  NodeId floating_to_long(NodeId value);
  NodeId floating_to_unsigned_long(NodeId value);
  NodeId operand(Scalar value, std::string_view what);  // its node, and that digits are lost where they are
  bool is_native(ScalarType type) const;

  NodeId op(Operator op, NodeId a, NodeId b) { return graph_.binary(op, a, b); }
  NodeId constant(NodeId like, std::int64_t value) { return graph_.integer(graph_.type(like), value); }
  bool is_nonnegative(NodeId id) const { return graph_.range(id).lo >= 0; }

  Graph& graph_;
  support::Precision precision_;
  LostDigits lost_;
};

}  // namespace flexjit::cxx
