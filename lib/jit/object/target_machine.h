// KernelKey's target -> an LLVM TargetMachine set up for closed, position-independent code.
#pragma once

#include <llvm/Target/TargetMachine.h>

#include <memory>

#include "flexjit/result.h"
#include "plan/target.h"

namespace flexjit::jit {

// A fresh machine: TargetMachine is not thread-safe, and making one costs 0.2 ms. Error `unsupported-target`.
Result<std::unique_ptr<llvm::TargetMachine>> make_target_machine(const plan::Target& target);

}  // namespace flexjit::jit
