// Masks of sequences: the caller's, one for a batch of one length, or one for each length that a call has.
#include "engine/launch_outcome.h"

#include <algorithm>
#include <optional>

#include "ir/analysis/intervals.h"
#include "runtime/parallel.h"

namespace flexjit::engine {

namespace {

// Blocks of the derived mask are never narrower than this many keys: smaller ones cost more to list than they save.
constexpr std::int32_t kMinKvBlock = 64;

DerivedMask::Wanted wanted_of(const Attention::Impl& impl, const Call& call, const plan::Sequence& sequence, std::int32_t batch,
                              const WantedBlocks& blocks) {
  const BlockMaskShape shape{.batch = batch,
                             .heads = call.shape.q_heads,
                             .q_len = sequence.q_len,
                             .kv_len = sequence.kv_len,
                             .q_block = blocks.q_block > 0 ? blocks.q_block : std::max(sequence.q_len, 1),
                             .kv_block = blocks.kv_block};
  return {.shape = shape, .first_b = sequence.b, .budget = derivation_budget(impl.kernel->kernel.layout, shape)};
}

// A step of decoding has one query a sequence, whose mask mostly allows every key: causal, a padding that ends at kv_len. One
// interval of the whole sequence shows it, sooner than blocks can be listed. Of masks that read no buffer.
class OneQuery {
 public:
  OneQuery(const Attention::Impl& impl, const Call& call)
      : heads_(call.shape.q_heads),
        environment_(call.bound.environment),
        analysis_(impl.pattern->program, environment_, nullptr) {}

  bool sees_all(const Call& call, const plan::Sequence& sequence) {
    if (sequence.q_len != 1) return false;
    environment_ = call.environment_of(sequence);
    const ir::Range allowed =
        analysis_.mask({.b_lo = sequence.b, .b_hi = sequence.b, .h_hi = heads_ - 1, .kv_hi = sequence.kv_len - 1});
    return allowed.is_point() && allowed.lo == 1;
  }

 private:
  const std::int32_t heads_;
  ir::Environment environment_;
  ir::IntervalAnalysis analysis_;
};

// Sequences of like inputs share a mask, neighbours mostly.
void derive_each(const Attention::Impl& impl, const Call& call, std::span<const plan::Sequence> sequences,
                 const WantedBlocks& wanted, Work& work) {
  constexpr std::size_t kLookedAt = 16;  // of the last masks
  std::vector<DerivedMask::Inputs> made;
  std::optional<OneQuery> one_query;
  if (!impl.derived->reads_buffers()) one_query.emplace(impl, call);
  for (const plan::Sequence& sequence : sequences) {
    if (one_query && one_query->sees_all(call, sequence)) {
      work.sequences.push_back({.sequence = &sequence});
      continue;
    }
    const ir::Environment environment = call.environment_of(sequence);
    const DerivedMask::Wanted one = wanted_of(impl, call, sequence, 1, wanted);
    const DerivedMask::Inputs inputs = impl.derived->inputs_of(environment, one);
    const auto from = made.begin() + static_cast<std::ptrdiff_t>(made.size() > kLookedAt ? made.size() - kLookedAt : 0);
    const auto found = std::find(from, made.end(), inputs);
    const auto index = static_cast<std::size_t>(found - made.begin());
    if (found == made.end()) {
      made.push_back(inputs);
      work.masks.push_back(impl.derived->get(impl.pattern->program, environment, one));
    }
    work.sequences.push_back({.sequence = &sequence, .mask = work.masks[index].get()});
  }
}

}  // namespace

runtime::Workers workers_of(const Attention::Impl& impl, const RunArgs& args) {
  return {.threads = runtime::threads_of(impl.threads), .trace = args.trace};
}

WantedBlocks blocks_of(const plan::KernelLayout& layout) { return {layout.q_tile, std::max(layout.strip, kMinKvBlock)}; }

BlockCounts Work::counts() const {
  BlockCounts counts;
  const BlockMask* last = nullptr;
  for (const runtime::SequenceWork& one : sequences) {
    if (one.mask == nullptr || one.mask == last) continue;
    const BlockCounts of_mask = one.mask->counts();
    counts.full += of_mask.full;
    counts.partial += of_mask.partial;
    counts.empty += of_mask.empty;
    last = one.mask;
  }
  return counts;
}

Work make_work(const Attention::Impl& impl, const RunArgs& args, const Call& call, std::span<const plan::Sequence> sequences,
               const WantedBlocks& wanted) {
  Work work;
  if (sequences.empty()) return work;
  work.derived = call.block_mask == nullptr && call.block_masks.empty();
  if (!call.block_masks.empty()) {
    for (const plan::Sequence& sequence : sequences)
      work.sequences.push_back({.sequence = &sequence, .mask = call.mask_of(sequence)});
    return work;
  }
  if (!work.derived || !impl.pattern->program.mask().valid()) {
    work.sequences = runtime::work_of(sequences, call.block_mask);
    return work;
  }
  const runtime::TracedPhase phase(args.trace, TraceKind::kBlockMask);
  if (call.shape.ragged) {
    derive_each(impl, call, sequences, wanted, work);
    return work;
  }
  const DerivedMask::Wanted all = wanted_of(impl, call, sequences.front(), call.shape.batch, wanted);
  work.masks.push_back(impl.derived->get(impl.pattern->program, call.bound.environment, all));
  work.sequences = runtime::work_of(sequences, work.masks.front().get());
  return work;
}

Result<RunStats> finish(const Attention::Impl& impl, const Call& call, const runtime::LaunchOutcome& outcome,
                        const BlockCounts& blocks) {
  if (outcome.fault) {
    const plan::FaultArg& fault = *outcome.fault;
    return describe_fault(*impl.pattern, call.bound.buffers, {fault.site, fault.dimension, fault.index});
  }
  return RunStats{.blocks = blocks, .scores_visited = outcome.scores_visited};
}

}  // namespace flexjit::engine
