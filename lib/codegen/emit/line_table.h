// Part of the kernel, node of the program -> the debug location that instructions carry. Kernels have line tables only where
// the inspector or a debugger asks what an instruction is for.
#pragma once

#include <llvm/IR/DebugLoc.h>
#include <llvm/IR/Module.h>

#include <memory>

#include "plan/debug_source.h"
#include "plan/kernel_parts.h"

namespace flexjit::codegen {

class LineTable {
 public:
  virtual ~LineTable() = default;
  virtual void begin_function(llvm::Function& function) = 0;
  virtual llvm::DebugLoc location(const plan::Provenance& from) const = 0;
  virtual void finish() = 0;
};

// Lines and columns as in plan/kernel_parts.h, for the inspector.
std::unique_ptr<LineTable> make_part_lines(llvm::Module& module);

// The lines of the pattern's texts, for a debugger: nodes are inlined calls of score_mod and mask_mod, the rest of the kernel
// has no line. `source` must outlive it.
std::unique_ptr<LineTable> make_text_lines(llvm::Module& module, const plan::DebugSource& source);

}  // namespace flexjit::codegen
