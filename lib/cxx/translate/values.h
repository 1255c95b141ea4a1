// What a C++ expression is worth while a function is executed on the graph, and where it may be stored.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "cxx/meaning/scalar.h"

namespace clang {
class CXXRecordDecl;
class ValueDecl;
}  // namespace clang

namespace flexjit::cxx {

using SlotId = support::TypedId<struct SlotTag>;

// A captured array, as the signature declares it.
struct Captured {
  std::string name;
  ScalarType element;                // what an element is as C++ reads it
  Type type = Type::kFloat;          // and as the language does
  std::vector<std::string> extents;  // as the language spells them, one a dimension
  Range range{};                     // of its elements
};

// An element of a captured array, or a part of it while indices are missing.
struct Element {
  const Captured* array = nullptr;
  std::vector<NodeId> indices{};
  bool operator==(const Element&) const = default;
};

// Fields of a struct or elements of an array, each a variable.
struct Aggregate {
  std::vector<SlotId> parts{};
  bool operator==(const Aggregate&) const = default;
};

// A lambda with the variables that its captures are.
struct Closure {
  const clang::CXXRecordDecl* record = nullptr;
  std::map<const clang::ValueDecl*, SlotId> captures{};
  SlotId self{};  // the enclosing object, never valid: `this` has no meaning
};

struct Nothing {
  bool operator==(const Nothing&) const = default;
};

// Nothing: of void, or not yet initialised.
using Value = std::variant<Nothing, Scalar, Element, Aggregate, std::shared_ptr<const Closure>>;

// A variable, or a value that is none.
struct Location {
  SlotId slot{};
  Value value{};
  bool is_chosen = false;  // it is that of one of several variables, of which the call decides: none that could be written
};

// What became of a statement: under which conditions, told from its beginning, it left the function, the loop or the turn.
// Conditions hold where none before them does.
struct Flow {
  struct Return {
    NodeId condition{};
    Value value{};
    SlotId place{};  // valid: what a returned reference names
  };
  NodeId returned{}, broken{}, continued{};
  std::vector<Return> returns{};
};

}  // namespace flexjit::cxx
