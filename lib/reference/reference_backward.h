// Naive fp64 gradients of attention, one row at a time, over callbacks that apply the pattern and its derivative.
#pragma once

#include <functional>
#include <span>

#include "flexjit/tensor.h"
#include "plan/operands.h"
#include "reference/reference_attention.h"

namespace flexjit::reference {

// Views as flexjit/backward.h has them; data == nullptr: absent.
struct ReferenceGradients {
  TensorView out, lse;               // given
  MutableTensorView q, k, v, sinks;  // wanted
};

struct ReferenceDerivative {
  ReferencePattern score;
  ReferenceFactors weight_factor;  // as of reference_attention
  // Replaces the gradients of the modified scores of one row by those of the scaled ones, 0 where masked; adds what captured
  // buffers get. False stops the whole computation.
  std::function<bool(const ReferenceRow& row, std::span<const double> scaled, std::span<double> gradients)> pull_back;
};

// launch.q/k/v/out hold elements of kernel.types, launch.out and launch.lse what the forward call wrote. Every wanted gradient
// is written, rounded once. Single-threaded. Returns false when a row stopped it.
bool reference_backward(const plan::Operands& launch, const ReferenceKernel& kernel, std::span<const plan::Sequence> sequences,
                        const ReferenceGradients& gradients, const ReferenceDerivative& derivative);

}  // namespace flexjit::reference
