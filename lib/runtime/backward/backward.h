// Compiled kernel of gradients + a call's tensors and the gradient of its output -> the gradients of its inputs.
#pragma once

#include "plan/operands.h"
#include "runtime/launch.h"

namespace flexjit::runtime {

// As launch(). Tiles of keys are the outer loop, and a tile adds to the gradients of a query after all tiles before it have:
// the order of every sum is that of one thread, whoever takes which tile.
LaunchOutcome launch_backward(const Kernel& kernel, const plan::Operands& operands, const plan::GradientOperands& gradients,
                              std::span<const SequenceWork> work, const Workers& workers);

}  // namespace flexjit::runtime
