// LLVM IR -> an object file or assembly.
#pragma once

#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/Module.h>
#include <llvm/Target/TargetMachine.h>

#include "flexjit/result.h"

namespace flexjit::jit {

Result<llvm::SmallVector<char, 0>> generate(llvm::TargetMachine& machine, llvm::Module& module, llvm::CodeGenFileType type);

}  // namespace flexjit::jit
