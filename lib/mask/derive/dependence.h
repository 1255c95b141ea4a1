// Program -> by node, which of the two indices its value varies with. What varies with one alone is the same for a whole row or
// column of pairs; batch entry and head are fixed within a plane.
#pragma once

#include <vector>

#include "ir/program/program.h"

namespace flexjit::mask {

struct Dependence {
  bool q = false;
  bool kv = false;

  bool on(ir::Op axis) const { return axis == ir::Op::kQIdx ? q : kv; }
  bool on_one() const { return q != kv; }
  bool on_both() const { return q && kv; }
  bool on_none() const { return !q && !kv; }
};

std::vector<Dependence> dependences(const ir::Program& program);

// The other index.
inline ir::Op across(ir::Op axis) { return axis == ir::Op::kQIdx ? ir::Op::kKvIdx : ir::Op::kQIdx; }

}  // namespace flexjit::mask
