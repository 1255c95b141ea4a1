// What every pass that builds a new Program from an old one shares: the same slots, and nodes copied one by one.
#pragma once

#include <span>

#include "ir/program/program.h"

namespace flexjit::ir {

// A builder with the precision of `program`, and its buffers and params in the same slots.
ProgramBuilder with_declarations_of(const Program& program);

// The same node on `operands`, which are ids of `builder`.
Id copy_node(ProgramBuilder& builder, const Program& program, Id id, std::span<const Id> operands);

}  // namespace flexjit::ir
