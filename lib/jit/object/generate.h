// KernelKey -> verified LLVM module with its target machine -> object code or assembly: what compiling and inspecting share.
#pragma once

#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/Support/CodeGen.h>
#include <llvm/Target/TargetMachine.h>

#include <memory>

#include "codegen/kernel.h"
#include "flexjit/result.h"
#include "jit/object/phase_clock.h"
#include "plan/kernel_key.h"

namespace flexjit::jit {

struct Emitted {
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module;
  std::unique_ptr<llvm::TargetMachine> machine;
};

// The phases go into `clock`.
Result<Emitted> emit(const plan::KernelKey& key, PhaseClock& clock, codegen::Lines lines = codegen::Lines::kOfText);
Result<llvm::SmallVector<char, 0>> generate(llvm::TargetMachine& machine, llvm::Module& module, llvm::CodeGenFileType type);
// Generates an object file for the times of the passes alone. LLVM's timers are global: other generations wait meanwhile.
Result<std::vector<plan::PhaseTime>> times_of_generating(Emitted& emitted);

}  // namespace flexjit::jit
