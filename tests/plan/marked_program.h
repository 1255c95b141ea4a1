// Programs written with C++ operators, with the nodes that a test asks about.
#pragma once

#include <initializer_list>
#include <vector>

#include "mask/expression.h"
#include "plan/hoisting.h"

namespace flexjit::test {

// A program and what became of the expressions that were watched: finishing renumbers the nodes, and those that no root reaches
// are invalid.
struct MarkedProgram {
  ir::Program program;
  std::vector<ir::Id> watched;
};

struct Roots {
  Expression score{};  // no builder: as it is
  Expression mask{};   // no builder: everything is allowed
};

inline MarkedProgram finish(Names& names, std::initializer_list<Expression> watched, const Roots& roots) {
  for (const Expression& one : watched) names.builder.mark(one.id);
  MarkedProgram made{std::move(names.builder).finish(roots.score.id, roots.mask.id), {}};
  made.watched.assign(made.program.marks().begin(), made.program.marks().end());
  return made;
}

inline Expression to_float(Expression a) { return {a.builder, a.builder->make(ir::Op::kIntToFloat, {a.id})}; }
inline Expression to_long(Expression a) { return {a.builder, a.builder->make(ir::Op::kIntToLong, {a.id})}; }

}  // namespace flexjit::test
