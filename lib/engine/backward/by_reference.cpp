// The naive gradient of a checked call, over the interpreter: of the lowered text, differentiated.
#include "call/backward_call.h"
#include "engine/backward/buffer_sums.h"
#include "engine/row_pattern.h"
#include "ir/passes/passes.h"
#include "reference/reference_backward.h"

namespace flexjit::engine {

Result<RunStats> backward_by_reference(const Pattern& pattern, const RunArgs& forward, const Gradients& gradients,
                                       const BackwardCall& call) {
  const Launch launch = make_launch(pattern, forward, call.forward);
  const ir::Program derivative = ir::differentiate(pattern.lowered, call.wanted_buffers());
  RowPattern apply(derivative, call.forward);
  BufferSums sums(derivative, call);
  const RowPattern::Add add = [&](const auto&... added) { sums.add(added...); };
  const reference::ReferenceKernel kernel{pattern.types, pattern.weights, pattern.head_dim, pattern.v_head_dim};
  const reference::ReferenceGradients tensors{gradients.out, gradients.lse, gradients.q,
                                              gradients.k,   gradients.v,   gradients.sinks};
  using Row = reference::ReferenceRow;
  const reference::ReferenceDerivative functions{
      .score = [&](const Row& row, std::span<double> scores) { return apply.apply(row, scores); },
      .weight_factor = [&](const Row& row, std::span<double> factors) { return apply.weight_factors(row, factors); },
      .pull_back = [&](const Row& row, std::span<const double> scaled,
                       std::span<double> gradient) { return apply.pull_back(row, scaled, gradient, add); }};
  if (!reference::reference_backward(launch.arg, kernel, call.forward.sequences, tensors, functions)) {
    return describe_fault(pattern, call.forward.bound.buffers, apply.fault().value());
  }
  sums.write();
  const BlockMask* mask = call.forward.block_mask;
  RunStats stats{.blocks = mask != nullptr ? mask->counts() : BlockCounts{}, .scores_visited = 0};
  for (const plan::Sequence& sequence : call.forward.sequences)
    stats.scores_visited += std::int64_t{call.forward.shape.q_heads} * sequence.q_len * sequence.kv_len;
  return stats;
}

}  // namespace flexjit::engine
