// RunArgs and Gradients of a backward pass -> BackwardCall: what a forward call is checked for and, beside it, every gradient.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "call/call.h"
#include "flexjit/backward.h"

namespace flexjit::engine {

// A backward pass that passed all checks.
struct BackwardCall {
  Call forward;
  // By slot of the pattern's buffers, with the shape that the buffer is read with: what is repeated there has stride 0 here, as
  // its gradient is the sum. data == nullptr: not wanted.
  std::vector<MutableTensorView> buffers;

  // Slots of the wanted ones, ascending.
  std::vector<std::uint32_t> wanted_buffers() const;
};

// Of captured buffers by name, ascending, each once. Errors: `unknown-binding`, `no-gradient`.
Result<std::vector<std::uint32_t>> gradient_slots(const Pattern& pattern, const std::vector<std::string>& names);

Result<BackwardCall> check_backward(const Pattern& pattern, const RunArgs& forward, const Gradients& gradients);

// By the compiled kernel of gradients.
Result<RunStats> backward_by_kernel(const Attention::Impl& impl, const RunArgs& forward, const Gradients& gradients,
                                    const BackwardCall& call);

// By the naive fp64 reference.
Result<RunStats> backward_by_reference(const Pattern& pattern, const RunArgs& forward, const Gradients& gradients,
                                       const BackwardCall& call);

}  // namespace flexjit::engine
