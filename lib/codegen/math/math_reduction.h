// What the fp32 and the fp64 trigonometric functions share: an argument reduced to a quadrant and a rest, by a quick way for
// most lanes and by a slow one for the few that are large.
#pragma once

#include <llvm/IR/CFG.h>

#include "codegen/emit/emitter.h"

namespace flexjit::codegen {

struct Reduced {
  Int quadrant;  // modulo 4
  Float r;
};

// `small`, but exact() in the `large` lanes; exact() runs only if there are any. A lane's result does not depend on its
// neighbours'.
inline Reduced replace_large(Emitter& e, Bool large, const Reduced& small, llvm::function_ref<Reduced()> exact) {
  auto& ir = e.ir();
  Reduced replaced;
  llvm::BasicBlock* replacing = nullptr;
  e.if_then("reduce_large", e.any(large), [&] {
    const Reduced found = exact();
    replaced = {e.select(large, found.quadrant, small.quadrant), e.select(large, found.r, small.r)};
    replacing = ir.GetInsertBlock();
  });
  const auto merge = [&](llvm::Value* with, llvm::Value* without) {
    auto* phi = ir.CreatePHI(with->getType(), 2);
    for (auto* block : llvm::predecessors(ir.GetInsertBlock())) phi->addIncoming(block == replacing ? with : without, block);
    return phi;
  };
  return {Int{merge(replaced.quadrant.value, small.quadrant.value)}, Float{merge(replaced.r.value, small.r.value)}};
}

}  // namespace flexjit::codegen
