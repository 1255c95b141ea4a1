// One call, run for the inspector: how often each block of the kernel runs, and how long the kernel takes.
#pragma once

#include "api/pattern.h"
#include "inspect/subject.h"
#include "plan/compiler_door.h"

namespace flexjit::api {

// On one thread; this machine can execute the pattern's target. Errors: those of Attention::run().
Result<inspector::CountedRun> run_counted(const std::shared_ptr<const Pattern>& pattern, const plan::CompilerDoor& door,
                                          const RunArgs& args);

}  // namespace flexjit::api
