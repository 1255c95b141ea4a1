// Attention::run: a checked call on the compiled kernel, or on the one for few query rows, with a block mask that is given or
// derived for this call.
#include <algorithm>
#include <optional>

#include "call/call.h"
#include "diagnostics/guard.h"
#include "engine/launch_outcome.h"
#include "mask/derive/classify.h"
#include "runtime/decode.h"
#include "runtime/launch.h"
#include "runtime/parallel.h"

namespace flexjit {

namespace engine {

namespace {

// Blocks of the derived mask are never narrower than this many keys: smaller ones cost more to list than they save.
constexpr std::int32_t kMinKvBlock = 64;

// At the kernel's own granularity.
BlockMaskShape wanted_blocks(const plan::KernelLayout& layout, const CallShape& shape) {
  return {.batch = shape.batch,
          .heads = shape.q_heads,
          .q_len = shape.q_len,
          .kv_len = shape.kv_len,
          .q_block = layout.q_tile,
          .kv_block = std::max(layout.strip, kMinKvBlock)};
}

DerivedMask::Shared derive(const Attention::Impl& impl, const RunArgs& args, const Call& call, const BlockMaskShape& wanted) {
  const runtime::TracedPhase phase(args.trace, TraceKind::kBlockMask);
  const std::int64_t budget = derivation_budget(impl.kernel->kernel.layout, wanted);
  return impl.derived->get(impl.pattern->program, call.bound.environment, wanted, budget);
}

}  // namespace

DerivedMask::Shared derive_for(const Attention::Impl& impl, const RunArgs& args, const Call& call,
                               const plan::KernelLayout& layout) {
  return derive(impl, args, call, wanted_blocks(layout, call.shape));
}

Result<RunStats> finish(const Attention::Impl& impl, const Call& call, const runtime::LaunchOutcome& outcome,
                        const BlockMask* mask) {
  if (outcome.fault) {
    const plan::FaultArg& fault = *outcome.fault;
    return describe_fault(*impl.pattern, call.bound.buffers, {fault.site, fault.dimension, fault.index});
  }
  return RunStats{.blocks = mask != nullptr ? mask->counts() : BlockCounts{}, .scores_visited = outcome.scores_visited};
}

runtime::Workers workers_of(const Attention::Impl& impl, const RunArgs& args) {
  return {.threads = runtime::threads_of(impl.threads), .trace = args.trace};
}

std::optional<Result<RunStats>> attend_by_decode(const Attention::Impl& impl, const RunArgs& args, const Call& call) {
  const CallShape& shape = call.shape;
  if (!suits_decode(impl.pattern->types, shape.q_heads / shape.kv_heads, shape.q_len, shape.kv_len)) return std::nullopt;
  Launch launch = make_launch(*impl.pattern, args, call);
  launch.arg.block_counts = impl.block_counts;
  DerivedMask::Shared derived;
  if (call.block_mask == nullptr) {
    const BlockMaskShape wanted{.batch = shape.batch,
                                .heads = shape.q_heads,
                                .q_len = shape.q_len,
                                .kv_len = shape.kv_len,
                                .q_block = shape.q_len,
                                .kv_block = kMinKvBlock};
    derived = derive(impl, args, call, wanted);
  }
  const runtime::DecodeMask mask = derived != nullptr ? runtime::DecodeMask{derived.get(), runtime::MaskOrigin::kDerived}
                                                      : runtime::DecodeMask{call.block_mask};
  const Result<DecodeKernel::Ready> ready = impl.decode->get(args.trace);
  if (!ready) {
    if (impl.may_lack_compiler(ready.diagnostics())) return std::nullopt;
    return Result<RunStats>(ready.diagnostics());
  }
  const runtime::DecodeOutput output{ready->types.out, ready->weights};
  return finish(impl, call, runtime::decode(ready->kernel->kernel, output, launch.arg, mask, workers_of(impl, args)),
                mask.blocks);
}

Result<RunStats> attend_by_kernel(const Attention::Impl& impl, const RunArgs& args, const Call& call) {
  DerivedMask::Shared derived;
  if (call.block_mask == nullptr) {
    derived = derive_for(impl, args, call, impl.kernel->kernel.layout);
  }
  const BlockMask* mask = derived != nullptr ? derived.get() : call.block_mask;
  Launch launch = make_launch(*impl.pattern, args, call);
  launch.arg.block_counts = impl.block_counts;
  return finish(impl, call, runtime::launch(impl.kernel->kernel, launch.arg, mask, workers_of(impl, args)), mask);
}

}  // namespace engine

Result<RunStats> Attention::run(const RunArgs& args) const {
  return engine::guarded("run", *this, [&]() -> Result<RunStats> {
    Result<engine::Call> call = engine::check_call(*impl_->pattern, args);
    if (!call) return call.diagnostics();
    if (call->has_no_rows()) return RunStats{};
    // Without keys there is no score and no read to make: every row is 0 and -inf, which the reference writes as well. The
    // kernel's hoisted reads rest on lengths of at least 1.
    const bool by_reference = impl_->kernel == nullptr || call->shape.kv_len == 0;
    if (by_reference) {
      const runtime::TracedPhase phase(args.trace, TraceKind::kReference);
      return engine::attend_by_reference(*impl_->pattern, args, *call, {});
    }
    if (auto decoded = engine::attend_by_decode(*impl_, args, *call)) return *std::move(decoded);
    return engine::attend_by_kernel(*impl_, args, *call);
  });
}

}  // namespace flexjit
