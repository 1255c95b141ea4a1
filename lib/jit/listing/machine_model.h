// Instructions -> what LLVM's scheduling model of the target's processor says that they cost (the model behind llvm-mca). Loads
// are taken to hit the first cache, and blocks to run back to back.
#pragma once

#include <llvm/ADT/StringRef.h>
#include <llvm/Target/TargetMachine.h>

#include "jit/listing/assembly_text.h"
#include "plan/kernel_key.h"

namespace flexjit::jit {

// Fills in the cost of every block and names the processor; leaves both empty where LLVM has no model that simulates it.
void add_costs(plan::CodeListing& listing, const InstructionOffsets& offsets, llvm::StringRef text,
               const llvm::TargetMachine& machine, const plan::KernelKey& key);

// Fills in the Intel syntax of every instruction; nothing on other architectures.
void add_intel_syntax(plan::CodeListing& listing, const InstructionOffsets& offsets, llvm::StringRef text,
                      const llvm::TargetMachine& machine, const plan::KernelKey& key);

}  // namespace flexjit::jit
