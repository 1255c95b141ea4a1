// Step w exchanges the w-th bit of row and lane number; the reduction keeps one vector of the two that a step makes.
#include "codegen/emit/lane_transpose.h"

namespace flexjit::codegen {
namespace {

struct Pair {
  llvm::Value* low;   // lanes without bit w of a, those of b beside them
  llvm::Value* high;  // lanes with bit w
};

Pair exchange(Emitter& e, llvm::Value* a, llvm::Value* b, int w) {
  llvm::SmallVector<int, 16> low;
  llvm::SmallVector<int, 16> high;
  for (int l = 0; l < e.lanes(); ++l) {
    low.push_back((l & w) == 0 ? l : e.lanes() + l - w);
    high.push_back((l & w) == 0 ? l + w : e.lanes() + l);
  }
  return {e.ir().CreateShuffleVector(a, b, low), e.ir().CreateShuffleVector(a, b, high)};
}

}  // namespace

void transpose(Emitter& e, llvm::SmallVectorImpl<llvm::Value*>& rows) {
  for (int w = 1; w < e.lanes(); w *= 2) {
    for (int i = 0; i < e.lanes(); ++i) {
      if ((i & w) != 0) continue;
      llvm::Value*& a = rows[static_cast<std::size_t>(i)];
      llvm::Value*& b = rows[static_cast<std::size_t>(i + w)];
      const Pair pair = exchange(e, a, b, w);
      a = pair.low;
      b = pair.high;
    }
  }
}

Float reduce_each(Emitter& e, llvm::ArrayRef<Float> rows, llvm::function_ref<Float(Float, Float)> combine) {
  llvm::SmallVector<Float, 16> left(rows.begin(), rows.end());
  for (int w = 1; w < e.lanes(); w *= 2) {
    llvm::SmallVector<Float, 16> next;
    for (std::size_t i = 0; i < left.size(); i += 2) {
      const Pair pair = exchange(e, left[i].value, left[i + 1].value, w);
      next.push_back(combine(Float{pair.low}, Float{pair.high}));
    }
    left = next;
  }
  return left.front();
}

}  // namespace flexjit::codegen
