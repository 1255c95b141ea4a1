// Loops and branches of the emitter: rotated loops with explicit loop-carried values, so that no stack slot is ever needed.
#include "codegen/emit/emitter.h"

namespace flexjit::codegen {
namespace {

// Code generation's own loop passes stay away from tiles that are already unrolled as they should be.
void keep_as_written(llvm::BranchInst* latch) {
  auto& context = latch->getContext();
  auto* unroll = llvm::MDNode::get(context, llvm::MDString::get(context, "llvm.loop.unroll.disable"));
  auto* loop = llvm::MDNode::getDistinct(context, {nullptr, unroll});
  loop->replaceOperandWith(0, loop);
  latch->setMetadata(llvm::LLVMContext::MD_loop, loop);
}

}  // namespace

// entry:  br (lo < hi), body, exit
// body:   i = phi(lo, i + step); carried = phi(init, next); next = body(i, carried); br (i + step < hi), body, exit
// exit:   result = phi(init, next)
Values Emitter::for_range(llvm::StringRef name, Index lo, Index hi, Index step, const Values& init,
                          llvm::function_ref<Values(Index, const Values&)> body) {
  auto* function = builder_.GetInsertBlock()->getParent();
  auto* entry = builder_.GetInsertBlock();
  auto* loop = llvm::BasicBlock::Create(module_.getContext(), name, function);
  auto* exit = llvm::BasicBlock::Create(module_.getContext(), name + ".end", function);
  builder_.CreateCondBr(less(lo, hi).value, loop, exit);

  builder_.SetInsertPoint(loop);
  auto* i = builder_.CreatePHI(builder_.getInt64Ty(), 2, name + ".i");
  i->addIncoming(lo.value, entry);
  llvm::SmallVector<llvm::PHINode*, 32> phis;
  Values current;
  for (llvm::Value* value : init) {
    phis.push_back(builder_.CreatePHI(value->getType(), 2));
    phis.back()->addIncoming(value, entry);
    current.push_back(phis.back());
  }
  const Values next = body(Index{i}, current);
  auto* latch = builder_.GetInsertBlock();
  const Index advanced = add(Index{i}, step);
  i->addIncoming(advanced.value, latch);
  for (std::size_t k = 0; k < phis.size(); ++k) phis[k]->addIncoming(next[k], latch);
  keep_as_written(builder_.CreateCondBr(less(advanced, hi).value, loop, exit));

  builder_.SetInsertPoint(exit);
  Values result;
  for (std::size_t k = 0; k < init.size(); ++k) {
    auto* phi = builder_.CreatePHI(init[k]->getType(), 2);
    phi->addIncoming(init[k], entry);
    phi->addIncoming(next[k], latch);
    result.push_back(phi);
  }
  return result;
}

void Emitter::for_range(llvm::StringRef name, Index lo, Index hi, Index step, llvm::function_ref<void(Index)> body) {
  for_range(name, lo, hi, step, {}, [&](Index i, const Values&) {
    body(i);
    return Values{};
  });
}

void Emitter::repeat(llvm::StringRef name, llvm::function_ref<Bool(Bool again)> body) {
  auto* entry = builder_.GetInsertBlock();
  auto* loop = llvm::BasicBlock::Create(module_.getContext(), name, entry->getParent());
  auto* exit = llvm::BasicBlock::Create(module_.getContext(), name + ".end", entry->getParent());
  builder_.CreateBr(loop);
  builder_.SetInsertPoint(loop);
  auto* again = builder_.CreatePHI(builder_.getInt1Ty(), 2, name + ".again");
  again->addIncoming(builder_.getFalse(), entry);
  const Bool next = body(Bool{again});
  again->addIncoming(next.value, builder_.GetInsertBlock());
  keep_as_written(builder_.CreateCondBr(next.value, loop, exit));
  builder_.SetInsertPoint(exit);
}

void Emitter::if_then(llvm::StringRef name, Bool condition, llvm::function_ref<void()> then) {
  if_else(name, condition, then, [] {});
}

void Emitter::if_else(llvm::StringRef name, Bool condition, llvm::function_ref<void()> then,
                      llvm::function_ref<void()> otherwise) {
  auto* function = builder_.GetInsertBlock()->getParent();
  auto* yes = llvm::BasicBlock::Create(module_.getContext(), name, function);
  auto* no = llvm::BasicBlock::Create(module_.getContext(), name + ".else", function);
  auto* end = llvm::BasicBlock::Create(module_.getContext(), name + ".end", function);
  builder_.CreateCondBr(condition.value, yes, no);
  builder_.SetInsertPoint(yes);
  then();
  builder_.CreateBr(end);
  builder_.SetInsertPoint(no);
  otherwise();
  builder_.CreateBr(end);
  builder_.SetInsertPoint(end);
}

llvm::Value* Emitter::choose(llvm::StringRef name, Bool condition, llvm::function_ref<llvm::Value*()> then,
                             llvm::function_ref<llvm::Value*()> otherwise) {
  llvm::SmallVector<std::pair<llvm::Value*, llvm::BasicBlock*>, 2> arms;
  const auto arm = [&](llvm::function_ref<llvm::Value*()> value_of) {
    llvm::Value* value = value_of();
    arms.emplace_back(value, builder_.GetInsertBlock());
  };
  if_else(name, condition, [&] { arm(then); }, [&] { arm(otherwise); });
  auto* phi = builder_.CreatePHI(arms.front().first->getType(), 2);
  for (auto [value, block] : arms) phi->addIncoming(value, block);
  return phi;
}

}  // namespace flexjit::codegen
