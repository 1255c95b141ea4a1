// Every function's argument begins with the pointer to its LaunchArg.
#include "codegen/block_counts.h"

#include <llvm/IR/IRBuilder.h>

#include <cstddef>

#include "plan/kernel_abi.h"

namespace flexjit::codegen {

std::vector<std::string> count_blocks(llvm::Module& module) {
  static_assert(offsetof(plan::TileArg, launch) == 0 && offsetof(plan::PackArg, launch) == 0 &&
                offsetof(plan::DecodeArg, launch) == 0);
  static_assert(offsetof(plan::GradientsArg, launch) == 0 && offsetof(plan::TakeRowsArg, launch) == 0 &&
                offsetof(plan::TakeKeysArg, launch) == 0 && offsetof(plan::GiveRowsArg, launch) == 0);
  std::vector<std::string> names;
  for (llvm::Function& function : module) {
    if (function.isDeclaration()) continue;
    llvm::IRBuilder<> builder(&*function.getEntryBlock().getFirstInsertionPt());
    auto* launch = builder.CreateLoad(builder.getPtrTy(), function.getArg(0));
    auto* field = builder.CreateConstGEP1_64(builder.getInt8Ty(), launch, offsetof(plan::LaunchArg, block_counts));
    auto* counts = builder.CreateLoad(builder.getPtrTy(), field);
    for (llvm::BasicBlock& block : function) {
      builder.SetInsertPoint(block.getTerminator());
      auto* count = builder.CreateConstGEP1_64(builder.getInt64Ty(), counts, names.size());
      builder.CreateStore(builder.CreateAdd(builder.CreateLoad(builder.getInt64Ty(), count), builder.getInt64(1)), count);
      names.push_back((function.getName() + "/" + block.getName()).str());
    }
  }
  return names;
}

}  // namespace flexjit::codegen
