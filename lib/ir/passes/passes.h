// Program -> Program: the rewrites between lowering and planning.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ir/program/interface.h"

namespace flexjit::ir {

// Constant folding, algebraic identities that hold for every value including NaN, infinities and wrapping ints, and removal of
// what no root reaches. Operands of commutative operations get an order that depends on the expression alone, > and >= become
// < and <=, a root that does nothing (score itself; its gradient itself; a mask that is always true; a factor of 1) becomes
// invalid, and what adds 0 or never adds is dropped. Deterministic; idempotent.
Program simplify(const Program& program);

// Marks as unchecked (and unguards) every read whose index is proved inside its buffer's declared extents for all
// b, h, q_idx, kv_idx inside the lengths, whatever the lengths are. Relies on what a call guarantees: lengths and counts are in
// [1, 2^30], num_kv_heads <= num_heads, bound buffers have exactly the extents declared; and on what lowering guarantees: no
// root depends on a guarded read where its guard is false. Int arithmetic that could wrap under these bounds proves nothing.
// What adds to a gradient becomes unchecked in the same way and keeps its guard.
Program prove_reads(const Program& program, const Interface& interface);

// The derivative of the score of a forward program: its roots, a root that is the gradient of the score as it comes in where
// Op::kScoreGrad is that of the score as it goes out, and accumulations that add up to the gradients of `buffers`, slots of
// floats. An identity has an identity as its derivative; a score that does not depend on the score that comes in has 0.
Program differentiate(const Program& program, std::span<const std::uint32_t> buffers);

// A program with a feature map, with its slopes: the derivatives of a feature by the element of the row and by the sum of its
// squares. Its other roots stay.
Program differentiate_features(const Program& program);

// Slots of the buffers of floats that the score reads, ascending: those that may have a gradient other than 0.
std::vector<std::uint32_t> differentiable_buffers(const Program& program);

// One line a node, "%3 = add %1, %2 : float", then the roots. Slots instead of names: the identity of a kernel.
std::string print(const Program& program);
// The same with the names of buffers and params, for people.
std::string print(const Program& program, const Interface& interface);

// A Const: the shortest text that reads back as the same value.
std::string print_constant(const Program& program, Id id);

}  // namespace flexjit::ir
