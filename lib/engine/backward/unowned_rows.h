// Gradients of a call whose sequences do not fill its tensors -> 0 in the rows of queries and keys that belong to none.
#pragma once

#include <span>

#include "flexjit/backward.h"
#include "plan/operands.h"

namespace flexjit::engine {

// `owners`: those whose gradients are written by somebody else, every row of theirs. They have no pages.
void clear_unowned_rows(const Gradients& gradients, std::span<const plan::Sequence> owners);

}  // namespace flexjit::engine
