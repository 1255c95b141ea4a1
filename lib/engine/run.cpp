// Attention::run: the sequences of a checked call on the kernel that suits each, with block masks that are given or derived for
// this call.
#include <algorithm>
#include <optional>

#include "call/call.h"
#include "diagnostics/guard.h"
#include "engine/linear/linear.h"
#include "engine/planned.h"
#include "runtime/decode/decode.h"
#include "runtime/launch.h"
#include "runtime/parallel.h"
#include "runtime/rows/rotary.h"

namespace flexjit {

namespace engine {

namespace {

enum class Share : std::uint8_t {
  kNobody,  // there is no query
  kEmpty,   // there is no key, hence no score and no read to make: every row is 0 and -inf. Hoisted reads rest on lengths of 1
  kDecode,
  kPrefill,
};

Share share_of(const Attention::Impl& impl, const Call& call, const plan::Sequence& sequence) {
  if (sequence.q_len == 0) return Share::kNobody;
  if (sequence.kv_len == 0) return Share::kEmpty;
  const std::int32_t group = call.shape.q_heads / call.shape.kv_heads;
  return suits_decode(impl.pattern->types, group, sequence.q_len, sequence.kv_len) ? Share::kDecode : Share::kPrefill;
}

}  // namespace

void share_out(const Attention::Impl& impl, const Call& call, Shares& shares) {
  if (!call.shape.ragged) {
    switch (share_of(impl, call, call.sequences.front())) {
      case Share::kNobody: break;
      case Share::kEmpty: shares.empty = call.sequences; break;
      case Share::kDecode: shares.decode = call.sequences; break;
      case Share::kPrefill: shares.prefill = call.sequences; break;
    }
    return;
  }
  for (const plan::Sequence& sequence : call.sequences) {
    switch (share_of(impl, call, sequence)) {
      case Share::kNobody: break;
      case Share::kEmpty: shares.without_keys.push_back(sequence); break;
      case Share::kDecode: shares.decoded.push_back(sequence); break;
      case Share::kPrefill: shares.prefilled.push_back(sequence); break;
    }
  }
  shares.decode = shares.decoded;
  shares.prefill = shares.prefilled;
  shares.empty = shares.without_keys;
}

Work decode_work(const Attention::Impl& impl, const RunArgs& args, const Call& call,
                 std::span<const plan::Sequence> sequences) {
  WantedBlocks wanted = blocks_of(impl.kernel->kernel.layout);
  wanted.q_block = 0;
  return make_work(impl, args, call, sequences, wanted);
}

Work prefill_work(const Attention::Impl& impl, const RunArgs& args, const Call& call,
                  std::span<const plan::Sequence> sequences) {
  return make_work(impl, args, call, sequences, blocks_of(impl.kernel->kernel.layout));
}

namespace {

// Whether what becomes of an allowed pair is the same in every sequence, but for its head and positions.
bool rows_mix(const ir::Program& program) {
  for (const ir::Id root : {program.score(), program.weight_factor()}) {
    const std::vector<bool> in_root = ir::reachable(program, root);
    for (std::uint32_t i = 0; i < program.size(); ++i) {
      constexpr ir::Op kOfSequence[] = {ir::Op::kBatch, ir::Op::kQLen, ir::Op::kKvLen, ir::Op::kQOffset, ir::Op::kKvOffset};
      if (in_root[i] && std::ranges::find(kOfSequence, program.nodes()[i].op) != std::end(kOfSequence)) return false;
    }
  }
  return true;
}

void add(BlockCounts& to, const BlockCounts& counts) {
  to.full += counts.full;
  to.partial += counts.partial;
  to.empty += counts.empty;
}

void add(runtime::LaunchOutcome& to, const runtime::LaunchOutcome& outcome) {
  to.scores_visited += outcome.scores_visited;
  if (!to.fault) to.fault = outcome.fault;
}

// Kernels read queries as they are to be.
runtime::RotatedQueries rotated(const Attention::Impl& impl, const RunArgs& args, const Call& call, Launch& launch) {
  if (call.rotary.cos == nullptr) return {};
  runtime::RotatedQueries queries =
      runtime::rotate_queries(launch.arg, {impl.pattern->types.q, impl.pattern->head_dim}, args.q.shape[0], args.q.shape[2],
                              call.sequences, runtime::threads_of(impl.threads));
  launch.arg.q = queries.tensor;
  return queries;
}

// One call on its kernels.
struct Attended {
  Attended(const Attention::Impl& of, const RunArgs& with, const Call& checked) : impl(of), args(with), call(checked) {
    launch.arg.block_counts = impl.block_counts;
  }
  const Attention::Impl& impl;
  const RunArgs& args;
  const Call& call;
  Launch launch = make_launch(*impl.pattern, args, call);
  const runtime::RotatedQueries queries = rotated(impl, args, call, launch);
  runtime::LaunchOutcome outcome{};
  BlockCounts blocks{};

  void by_prefill(const Work& work) {
    add(outcome, runtime::launch(impl.kernel->kernel, launch.arg, work.sequences, workers_of(impl, args)));
    add(blocks, work.counts());
  }
  void by_decode(const DecodeKernel::Ready& ready, const Work& work) {
    const runtime::DecodeRules rules{work.derived ? runtime::MaskOrigin::kDerived : runtime::MaskOrigin::kGiven,
                                     call.page_size > 0 && rows_mix(impl.pattern->program)};
    const runtime::DecodeOutput output{ready.types.out, ready.weights};
    add(outcome, runtime::decode(ready.kernel->kernel, output, launch.arg, work.sequences, rules, workers_of(impl, args)));
    add(blocks, work.counts());
  }
};

}  // namespace

bool decodes(const Pattern& pattern, const Call& call) {
  const std::int32_t group = call.shape.q_heads / call.shape.kv_heads;
  return std::ranges::all_of(call.sequences, [&](const plan::Sequence& sequence) {
    return suits_decode(pattern.types, group, sequence.q_len, sequence.kv_len);
  });
}

Result<RunStats> attend_by_kernel(const Attention::Impl& impl, const RunArgs& args, const Call& call) {
  Attended attended(impl, args, call);
  attended.by_prefill(prefill_work(impl, args, call, call.sequences));
  return finish(impl, call, attended.outcome, attended.blocks);
}

namespace {

// The kernel that decodes; none where the caller allowed to go on without the compiler that it needs.
Result<std::optional<DecodeKernel::Ready>> find_decode(const Attention::Impl& impl, const Shares& shares, Trace* trace) {
  if (shares.decode.empty()) return std::optional<DecodeKernel::Ready>();
  const Result<DecodeKernel::Ready> ready = impl.decode->get(trace);
  if (ready) return std::optional(*ready);
  if (!impl.may_lack_compiler(ready.diagnostics())) return ready.diagnostics();
  return std::optional<DecodeKernel::Ready>();
}

// `plan` may be null: then shares and masks are made for this call.
Result<RunStats> attend_shares(const Attention::Impl& impl, const RunArgs& args, const Call& call, const Shares& shares,
                               const Plan::Impl* plan) {
  if (!shares.empty.empty()) {
    const Result<RunStats> none = attend_by_reference(*impl.pattern, args, call, shares.empty);
    if (!none) return none;
  }
  const auto decode = find_decode(impl, shares, args.trace);
  if (!decode) return decode.diagnostics();
  Attended attended(impl, args, call);
  if (!shares.prefill.empty())
    attended.by_prefill(plan != nullptr ? plan->prefill : prefill_work(impl, args, call, shares.prefill));
  if (!shares.decode.empty() && !*decode) attended.by_prefill(prefill_work(impl, args, call, shares.decode));
  if (*decode) attended.by_decode(**decode, plan != nullptr ? plan->decode : decode_work(impl, args, call, shares.decode));
  return finish(impl, call, attended.outcome, attended.blocks);
}

Result<Call> check_run(const Attention::Impl& impl, const RunArgs& args) {
  if (args.plan == nullptr) return check_call(*impl.pattern, args);
  if (Diagnostics stale = check_plan(impl, args); !stale.empty()) return stale;
  Result<Call> call = check_call(*impl.pattern, args, args.plan->impl().sequences);
  if (call && call->bound.params != args.plan->impl().params) return single_finding("run", Finding::kStalePlan, "other params");
  return call;
}

}  // namespace

Result<RunStats> attend(const Attention::Impl& impl, const RunArgs& args, const Call& call) {
  Shares shares;
  share_out(impl, call, shares);
  return attend_shares(impl, args, call, shares, nullptr);
}

}  // namespace engine

Result<RunStats> Attention::run(const RunArgs& args) const {
  return engine::guarded("run", *this, [&]() -> Result<RunStats> {
    Result<engine::Call> call = engine::check_run(*impl_, args);
    if (!call) return call.diagnostics();
    if (call->has_no_rows()) return RunStats{};
    if (impl_->kernel == nullptr) {
      const runtime::TracedPhase phase(args.trace, TraceKind::kReference);
      return engine::attend_by_reference(*impl_->pattern, args, *call, ReferenceRows{});
    }
    if (impl_->pattern->linear) return engine::attend_linear(*impl_, args, *call);
    if (args.plan == nullptr) return engine::attend(*impl_, args, *call);
    const Plan::Impl& plan = args.plan->impl();
    return engine::attend_shares(*impl_, args, *call, plan.shares, &plan);
  });
}

}  // namespace flexjit
