// What every launch of a compiled kernel has around it: the threads, a block mask of the kernel's own granularity where the
// caller gives none, and what it left for the caller.
#pragma once

#include "call/call.h"
#include "runtime/launch.h"

namespace flexjit::engine {

runtime::Workers workers_of(const Attention::Impl& impl, const RunArgs& args);
// Null: every pair is allowed, or deriving costs more than it saves.
DerivedMask::Shared derive_for(const Attention::Impl& impl, const RunArgs& args, const Call& call,
                               const plan::KernelLayout& layout);
Result<RunStats> finish(const Attention::Impl& impl, const Call& call, const runtime::LaunchOutcome& outcome,
                        const BlockMask* mask);

}  // namespace flexjit::engine
