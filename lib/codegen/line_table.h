// Part of the kernel, node of the program -> the debug location that instructions carry. Kernels have line tables only where
// somebody asks what an instruction is for.
#pragma once

#include <llvm/IR/DIBuilder.h>
#include <llvm/IR/IRBuilder.h>

#include "plan/kernel_parts.h"

namespace flexjit::codegen {

class LineTable {
 public:
  explicit LineTable(llvm::Module& module);
  void begin_function(llvm::Function& function);
  llvm::DebugLoc location(const plan::Provenance& from) const;
  void finish() { builder_.finalize(); }

 private:
  llvm::DIBuilder builder_;
  llvm::DIFile* file_;
  llvm::DISubprogram* function_ = nullptr;
};

}  // namespace flexjit::codegen
