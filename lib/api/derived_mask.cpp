// Classification by intervals alone, unless the mask of the call before serves.
#include "api/derived_mask.h"

#include "ir/program.h"

namespace flexjit::api {

DerivedMask::DerivedMask(const ir::Program& program) {
  const std::vector<bool> in_mask = ir::reachable(program, program.mask());
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const ir::Op op = program.nodes()[i].op;
    reads_buffers_ = reads_buffers_ || (in_mask[i] && (op == ir::Op::kRead || op == ir::Op::kDot));
  }
}

DerivedMask::Shared DerivedMask::get(const ir::Program& program, const ir::Environment& environment,
                                     const BlockMaskShape& wanted) {
  if (!program.mask().valid()) return nullptr;
  const auto make = [&] {
    return std::make_shared<const BlockMask>(
        *mask::classify(program, environment, {wanted, mask::Undecided::kLeavePartial}).mask);
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

}  // namespace flexjit::api
