// Users come after operands, so that one backward loop hands expressions down to nodes that have none.
#include "ir/program/origins.h"

namespace flexjit::ir {

std::vector<std::optional<Expression>> expressions_of(const Program& program, const Interface& interface) {
  std::vector<std::optional<Expression>> expressions(program.size());
  const auto length = [](const Expression& e) { return e.end - e.begin; };
  for (std::size_t i = 0; i < program.marks().size(); ++i) {
    const Id node = program.marks()[i];
    if (!node.valid()) continue;
    auto& known = expressions[node.index];
    if (!known || length(interface.expressions[i]) < length(*known)) known = interface.expressions[i];
  }
  for (auto i = static_cast<std::uint32_t>(program.size()); i-- > 0;) {
    for (Id operand : program.operands(Id{i})) {
      if (!expressions[operand.index]) expressions[operand.index] = expressions[i];
    }
  }
  return expressions;
}

}  // namespace flexjit::ir
