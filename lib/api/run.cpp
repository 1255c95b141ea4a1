// Attention::run: a checked call on the compiled kernel, with a block mask that is given or derived for this call.
#include <omp.h>

#include <algorithm>
#include <optional>

#include "api/call.h"
#include "api/guard.h"
#include "mask/classify.h"
#include "runtime/launch.h"

namespace flexjit {

namespace api {

namespace {

// Blocks of the derived mask are never narrower than this many keys: smaller ones cost more to list than they save.
constexpr std::int32_t kMinKvBlock = 64;

// The mask of this call at the kernel's own granularity; blocks that intervals cannot decide stay partial. None without a mask.
std::optional<BlockMask> derive_block_mask(const Attention::Impl& impl, const Call& call) {
  const ir::Program& program = impl.pattern->program;
  if (!program.mask().valid()) return std::nullopt;
  const plan::KernelLayout& layout = impl.kernel->kernel.layout;
  const mask::ClassifyRequest request{.shape = {.batch = call.shape.batch,
                                                .heads = call.shape.q_heads,
                                                .q_len = call.shape.q_len,
                                                .kv_len = call.shape.kv_len,
                                                .q_block = layout.q_tile,
                                                .kv_block = std::max(layout.strip, kMinKvBlock)},
                                      .undecided = mask::Undecided::kLeavePartial};
  return mask::classify(program, call.bound.environment, request).mask;
}

Result<RunStats> attend_by_kernel(const Attention::Impl& impl, const RunArgs& args, const Call& call) {
  std::optional<BlockMask> derived;
  if (call.block_mask == nullptr) derived = derive_block_mask(impl, call);
  const BlockMask* mask = derived ? &*derived : call.block_mask;
  const Launch launch = make_launch(*impl.pattern, args, call);
  const int threads = impl.threads > 0 ? impl.threads : omp_get_max_threads();
  const runtime::LaunchOutcome outcome = runtime::launch(impl.kernel->kernel, launch.arg, mask, threads);
  if (outcome.fault) {
    const plan::FaultArg& fault = *outcome.fault;
    return describe_fault(*impl.pattern, call.bound.buffers, {fault.site, fault.dimension, fault.index});
  }
  return RunStats{.blocks = mask != nullptr ? mask->counts() : BlockCounts{}, .scores_visited = outcome.scores_visited};
}

}  // namespace

}  // namespace api

Result<RunStats> Attention::run(const RunArgs& args) const {
  return api::guarded("run", [&]() -> Result<RunStats> {
    Result<api::Call> call = api::check_call(*impl_->pattern, args);
    if (!call) return call.diagnostics();
    if (call->has_no_rows()) return RunStats{};
    // Without keys there is no score and no read to make: every row is 0 and -inf, which the reference writes as well. The
    // kernel's hoisted reads rest on lengths of at least 1.
    const bool by_reference = impl_->kernel == nullptr || call->shape.kv_len == 0;
    if (by_reference) return api::attend_by_reference(*impl_->pattern, args, *call, {});
    return api::attend_by_kernel(*impl_, args, *call);
  });
}

}  // namespace flexjit
