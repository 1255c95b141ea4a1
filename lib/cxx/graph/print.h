// A graph and what its roots are -> the text of a program, with the places of the C++ texts that its parts come from.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cxx/graph/graph.h"
#include "dsl/parse/source.h"

namespace flexjit::cxx {

// `text` without its `let`s: a param or a buffer, as the language declares it.
struct Declaration {
  std::string name;
  std::string text;  // "param window : int = 256"
  dsl::Span place{};
};

struct Output {
  std::string name;  // "score" or "mask"
  NodeId value{};
  dsl::Span place{};  // of its function
};

struct Printed {
  std::string text;
  std::vector<dsl::Origin::Piece> pieces;
};

// Declarations first, then a `let` for every value that is used more than once or that lies deep, each before its first use,
// then the results.
Printed print(const Graph& graph, const std::vector<Declaration>& declarations, const std::vector<Output>& results);

}  // namespace flexjit::cxx
