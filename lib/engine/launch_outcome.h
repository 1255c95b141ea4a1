// What every launch of a compiled kernel has around it: the threads, the sequences with block masks of the kernel's own
// granularity where the caller gives none, and what it left for the caller.
#pragma once

#include <span>
#include <vector>

#include "call/call.h"
#include "runtime/launch.h"
#include "runtime/sequences.h"

namespace flexjit::engine {

runtime::Workers workers_of(const Attention::Impl& impl, const RunArgs& args);

// Blocks of a mask that is derived.
struct WantedBlocks {
  std::int32_t q_block = 0;  // 0: all queries of a sequence
  std::int32_t kv_block = 0;
};
WantedBlocks blocks_of(const plan::KernelLayout& layout);

// Some sequences of a call and the masks that it derived for them.
struct Work {
  std::vector<runtime::SequenceWork> sequences;
  std::vector<DerivedMask::Shared> masks{};
  bool derived = false;  // whose word the masks are

  BlockCounts counts() const;
};
Work make_work(const Attention::Impl& impl, const RunArgs& args, const Call& call, std::span<const plan::Sequence> sequences,
               const WantedBlocks& wanted);

Result<RunStats> finish(const Attention::Impl& impl, const Call& call, const runtime::LaunchOutcome& outcome,
                        const BlockCounts& blocks);

}  // namespace flexjit::engine
