// Classification within a budget, unless the mask of the call before serves.
#include "call/derived_mask.h"

#include <algorithm>

#include "ir/program/program.h"

namespace flexjit::engine {

std::int64_t derivation_budget(const plan::KernelLayout& layout, const BlockMaskShape& call) {
  // Of one thread at most, in all: some 3.5 GHz and two fused products of all lanes a cycle, of pairs where a cell is one.
  constexpr double kOperationsPerLane = 12;  // a nanosecond
  constexpr double kNodeNs = 9, kShare = 1.0 / 16, kLeast = 1792;
  const double pair_of_cells = layout.k_depth < layout.head_dim ? 2 : 1;
  const double pairs = 1.0 * call.heads * call.q_len * call.kv_len;
  const double operations = 2.0 * pairs * (layout.head_dim + layout.v_head_dim);
  const double ns = operations / (kOperationsPerLane * layout.lanes * pair_of_cells);
  return static_cast<std::int64_t>(std::clamp(ns * kShare / kNodeNs, kLeast, 0x1p60));
}

DerivedMask::DerivedMask(const ir::Program& program) {
  const std::vector<bool> in_mask = ir::reachable(program, program.mask());
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const ir::Op op = program.nodes()[i].op;
    reads_buffers_ = reads_buffers_ || (in_mask[i] && (op == ir::Op::kRead || op == ir::Op::kDot));
  }
}

DerivedMask::Shared DerivedMask::get(const ir::Program& program, const ir::Environment& environment,
                                     const BlockMaskShape& wanted, std::int64_t budget) {
  if (!program.mask().valid()) return nullptr;
  const auto make = [&] {
    return std::make_shared<const BlockMask>(
        *mask::classify(program, environment, {.shape = wanted, .undecided = mask::Undecided::kDecideCheap, .budget = budget})
             .mask);
  };
  if (reads_buffers_) return make();
  Inputs inputs{wanted, environment.num_kv_heads, {environment.params.begin(), environment.params.end()}};
  {
    const std::lock_guard lock(mutex_);
    if (mask_ != nullptr && inputs == inputs_) return mask_;
  }
  Shared made = make();
  const std::lock_guard lock(mutex_);
  inputs_ = std::move(inputs);
  return mask_ = std::move(made);
}

}  // namespace flexjit::engine
