// Program -> Program: the rewrites between lowering and planning.
#pragma once

#include <string>

#include "ir/interface.h"

namespace flexjit::ir {

// Constant folding, algebraic identities that hold for every value including NaN, infinities and wrapping ints, and removal of
// what no root reaches. Deterministic; idempotent.
Program simplify(const Program& program);

// Marks as unchecked (and unguards) every read whose index is proved inside its buffer's declared extents for all
// b, h, q_idx, kv_idx inside the lengths, whatever the lengths (each at least 1) are.
Program prove_reads(const Program& program, const Interface& interface);

// One line a node, "%3 = add %1, %2 : float", then the roots. Slots instead of names: the identity of a kernel.
std::string print(const Program& program);
// The same with the names of buffers and params, for people.
std::string print(const Program& program, const Interface& interface);

}  // namespace flexjit::ir
