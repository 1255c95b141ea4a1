// One call, run for the inspector: how often each block of the kernel runs, and how long the kernel takes.
#pragma once

#include "pattern/pattern.h"
#include "plan/compiler_door.h"
#include "study/subject/subject.h"

namespace flexjit::engine {

// `key` is that of one of the pattern's kernels; of one for gradients the backward pass of the call runs, after the call
// itself. On one thread; this machine can execute the key's target. Errors: those of Attention::run() and run_backward(), and
// `inspect-kernel` for a call that the decode kernel does not take.
Result<study::CountedRun> run_counted(const std::shared_ptr<const Pattern>& pattern, const plan::KernelKey& key,
                                      const plan::CompilerDoor& door, const RunArgs& args);

}  // namespace flexjit::engine
