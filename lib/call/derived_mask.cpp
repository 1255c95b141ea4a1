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
    if (!in_mask[i]) continue;
    reads_buffers_ = reads_buffers_ || op == ir::Op::kRead || op == ir::Op::kDot;
    reads_b_ = reads_b_ || op == ir::Op::kBatch;
    reads_offsets_ = reads_offsets_ || op == ir::Op::kQOffset || op == ir::Op::kKvOffset;
  }
}

DerivedMask::Inputs DerivedMask::inputs_of(const ir::Environment& environment, const Wanted& wanted) const {
  return {.shape = wanted.shape,
          .first_b = reads_b_ ? wanted.first_b : 0,
          .q_offset = reads_offsets_ ? environment.q_offset : 0,
          .kv_offset = reads_offsets_ ? environment.kv_offset : 0,
          .num_kv_heads = environment.num_kv_heads,
          .params = {environment.params.begin(), environment.params.end()}};
}

DerivedMask::Shared DerivedMask::get(const ir::Program& program, const ir::Environment& environment, const Wanted& wanted) {
  if (!program.mask().valid()) return nullptr;
  const auto make = [&] {
    return std::make_shared<const BlockMask>(*mask::classify(program, environment,
                                                             {.shape = wanted.shape,
                                                              .first_b = wanted.first_b,
                                                              .undecided = mask::Undecided::kDecideCheap,
                                                              .budget = wanted.budget})
                                                  .mask);
  };
  if (reads_buffers_) return make();
  Inputs inputs = inputs_of(environment, wanted);
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(kept_, inputs, &std::pair<Inputs, Shared>::first);
    if (found != kept_.end()) return found->second;
  }
  Shared made = make();
  const std::lock_guard lock(mutex_);
  kept_.emplace_front(std::move(inputs), made);
  std::int64_t blocks = 0;
  const auto first_too_many = std::ranges::find_if(kept_, [&](const auto& one) {
    blocks += one.second->counts().partial + one.second->counts().full;
    return blocks > kKeptBlocks && one.second != made;
  });
  kept_.erase(std::min(first_too_many, kept_.begin() + static_cast<std::ptrdiff_t>(std::min(kKept, kept_.size()))),
              kept_.end());
  return made;
}

}  // namespace flexjit::engine
