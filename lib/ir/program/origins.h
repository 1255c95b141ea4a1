// Marks turned around: for each node, the expression of the text that a person would point at.
#pragma once

#include <optional>
#include <vector>

#include "ir/program/interface.h"

namespace flexjit::ir {

// By node: the shortest expression whose value it is; for nodes that simplification made, that of a node that uses them. None
// where nothing of the text is near. `interface` is that of the program's text.
std::vector<std::optional<Expression>> expressions_of(const Program& program, const Interface& interface);

}  // namespace flexjit::ir
