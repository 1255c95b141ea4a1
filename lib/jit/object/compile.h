// KernelKey -> CodeImage: emit, verify, generate code, link flat. No IR pass pipeline: the emitter writes tiles as they should
// run, and the optimiser would double the compile time for 2 %.
#pragma once

#include <string>
#include <vector>

#include "flexjit/result.h"
#include "plan/compiler_door.h"

namespace flexjit::jit {

// Thread-safe: every call has a context and a target machine of its own.
Result<plan::CodeImage> compile(const plan::KernelKey& key);

// The same kernel with an increment of LaunchArg::block_counts in every block.
Result<plan::CountingImage> compile_counting(const plan::KernelKey& key);

// The module as LLVM IR.
Result<std::string> print_ir(const plan::KernelKey& key);

// See plan::CompilerDoor. Thread-safe as well: LLVM's timers are global, so compilations wait.
Result<std::vector<plan::PhaseTime>> time_passes(const plan::KernelKey& key);

}  // namespace flexjit::jit
