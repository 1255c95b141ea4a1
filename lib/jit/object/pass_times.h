// Work of LLVM's legacy pass managers -> how long each pass took, by LLVM's own timers.
#pragma once

#include <llvm/ADT/STLFunctionalExtras.h>

#include <vector>

#include "plan/phase_time.h"

namespace flexjit::jit {

// The passes of `work` in no particular order. The timers are global: nothing else may run passes meanwhile.
std::vector<plan::PhaseTime> times_of_passes(llvm::function_ref<void()> work);

}  // namespace flexjit::jit
