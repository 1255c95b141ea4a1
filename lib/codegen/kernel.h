// KernelKey -> LLVM module. Reads nothing but the key; the same key gives the same text.
#pragma once

#include <llvm/IR/Module.h>

#include <memory>

#include "plan/kernel_key.h"

namespace flexjit::codegen {

// What instructions carry: the lines of the pattern's text where the key has debug information, or the part and node that they
// are for (plan/kernel_parts.h).
enum class Lines : std::uint8_t { kOfText, kParts };

// The module has the functions of kernel_abi.h, `attend` and `pack` or `decode`, and refers to no symbol outside itself.
std::unique_ptr<llvm::Module> emit_kernel(llvm::LLVMContext& context, const plan::KernelKey& key, Lines lines = Lines::kOfText);

}  // namespace flexjit::codegen
