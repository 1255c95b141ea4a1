// A kernel that counts how often each of its blocks runs: what a model of the processor needs to predict its time.
#pragma once

#include <llvm/IR/Module.h>

#include <string>
#include <vector>

namespace flexjit::codegen {

// Adds to every block of every function an increment of LaunchArg::block_counts. Returns, by count, "function/block".
std::vector<std::string> count_blocks(llvm::Module& module);

}  // namespace flexjit::codegen
