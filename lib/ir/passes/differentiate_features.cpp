// A feature map -> its slopes, by one loop from a feature back to the elements of the row, as differentiate() goes from a
// score.
#include <algorithm>

#include "ir/passes/cotangents.h"
#include "ir/passes/passes.h"
#include "ir/passes/rewrite.h"
#include "support/check.h"

namespace flexjit::ir {

Program differentiate_features(const Program& program) {
  FLEXJIT_CHECK(program.feature().valid(), "there is no feature map");
  ProgramBuilder builder = with_declarations_of(program);
  Cotangents cotangents(builder, program.size());
  std::vector<Id> copies;
  std::vector<bool> wanted;
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const Node& node = program.node(Id{i});
    std::vector<Id> operands;
    for (Id operand : program.operands(Id{i})) operands.push_back(copies[operand.index]);
    copies.push_back(copy_node(builder, program, Id{i}, operands));
    const bool passes = node.type == Type::kFloat && !is_constant_between_steps(node.op);
    wanted.push_back(is_of_row(node.op) || (passes && std::ranges::any_of(program.operands(Id{i}),
                                                                          [&](Id operand) { return wanted[operand.index]; })));
  }
  Roots roots = program.roots().of_copies(copies);
  Id &slope = roots[Root::kFeatureSlope], &square_slope = roots[Root::kFeatureSquareSlope];
  slope = square_slope = builder.const_float(0);
  cotangents.add(program.feature(), {.condition = {}, .value = builder.const_float(1)});
  for (auto i = static_cast<std::uint32_t>(program.size()); i-- > 0;) {
    const Op op = program.node(Id{i}).op;
    if (!cotangents.any(Id{i}) || !wanted[i]) continue;
    if (is_of_row(op)) {
      (op == Op::kRowValue ? slope : square_slope) = cotangents.selected(Id{i});
      continue;
    }
    const Cotangent own = cotangents.sum(Id{i});
    std::vector<Id> values;
    for (Id operand : program.operands(Id{i})) values.push_back(copies[operand.index]);
    const auto partials = partials_of(builder, {op, values, copies[i]}, own.value);
    for (std::size_t n = 0; n < partials.size(); ++n) {
      const Id operand = program.operand(Id{i}, static_cast<int>(n));
      if (wanted[operand.index])
        cotangents.add(operand, {cotangents.both(own.condition, partials[n].condition), partials[n].value});
    }
  }
  return std::move(builder).finish(roots);
}

}  // namespace flexjit::ir
