// Several lowered texts, one after the other, as one: how flags and a caller's text become one pattern, so that block masks,
// hoisting, interpreter and kernel know only single programs.
#pragma once

#include <span>

#include "ir/program/interface.h"

namespace flexjit::ir {

// `score` of a stage is the score that the stages before it made; a pair is allowed where all stages allow it. Slots and sites
// of a later stage follow those of the earlier ones. A buffer of the same name is the same buffer and must be declared alike;
// params' names must be distinct over all stages. A read in one stage's mask is not guarded by another stage's mask.
Lowered compose(std::span<const Lowered> stages);

}  // namespace flexjit::ir
