// The naive gradient of a checked call, over the interpreter.
#include "call/backward_call.h"
#include "engine/row_pattern.h"
#include "reference/reference_backward.h"

namespace flexjit::engine {

Result<RunStats> backward_by_reference(const Pattern& pattern, const RunArgs& forward, const Gradients& gradients,
                                       const BackwardCall& call) {
  const Launch launch = make_launch(pattern, forward, call.forward);
  RowPattern apply(pattern.lowered, call.forward);
  const reference::ReferenceKernel kernel{pattern.types, pattern.weights, pattern.head_dim, pattern.v_head_dim};
  const reference::ReferenceGradients tensors{gradients.out, gradients.lse, gradients.q,
                                              gradients.k,   gradients.v,   gradients.sinks};
  const reference::ReferenceDerivative derivative{
      .score = [&](const reference::ReferenceRow& row, std::span<double> scores) { return apply.apply(row, scores); },
      .pull_back = [&](const reference::ReferenceRow&, std::span<const double>, std::span<double>) { return true; }};
  if (!reference::reference_backward(launch.arg, kernel, tensors, derivative)) {
    return describe_fault(pattern, call.forward.bound.buffers, apply.fault().value());
  }
  const CallShape& shape = call.forward.shape;
  const BlockMask* mask = call.forward.block_mask;
  return RunStats{.blocks = mask != nullptr ? mask->counts() : BlockCounts{},
                  .scores_visited = std::int64_t{shape.batch} * shape.q_heads * shape.q_len * shape.kv_len};
}

}  // namespace flexjit::engine
