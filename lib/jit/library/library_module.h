// Patterns of a library -> the LLVM module of one object: a constant with what libflexjit reads, and C functions that pass it
// on.
#pragma once

#include <llvm/IR/Module.h>

#include <memory>
#include <span>

#include "plan/compiler_door.h"

namespace flexjit::jit {

std::unique_ptr<llvm::Module> emit_library_module(llvm::LLVMContext& context, std::span<const plan::LibraryPattern> patterns);

// Empty functions by the names that such an object calls: linked as libflexjit's stand-in, they make a shared library say that
// it needs libflexjit, whatever architecture that is and wherever it will be.
std::unique_ptr<llvm::Module> emit_engine_stub(llvm::LLVMContext& context);

}  // namespace flexjit::jit
