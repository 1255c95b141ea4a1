// Step w exchanges the w-th bit of row and lane number; the reduction keeps one vector of the two that a step makes.
#include "codegen/emit/lane_transpose.h"

#include <array>

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

Float reduce_rows(Emitter& e, Ptr rows, llvm::function_ref<Float(Float, Float)> combine) {
  const auto bytes = static_cast<int>(e.lanes() * e.real_bytes());
  const Ptr first = e.opaque(rows);
  llvm::SmallVector<Float, 16> loaded;
  for (int i = 0; i < e.lanes(); ++i) {
    loaded.push_back(e.load_reals(e.at_real(first, e.index(std::int64_t{i} * e.lanes())), bytes));
  }
  llvm::SmallVector<Float, 16> left(loaded.begin(), loaded.end());
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

// Two steps that add halves of pairs inside each 128 bits, then the 128-bit parts.
llvm::Value* sum_four(Emitter& e, llvm::ArrayRef<llvm::Value*> vectors) {
  auto& ir = e.ir();
  const int lanes = e.lanes();
  // Within each group of four lanes, takes `from` of a, b where entries above 3 mean b.
  const auto pick = [&](llvm::Value* a, llvm::Value* b, std::array<int, 4> from) {
    llvm::SmallVector<int, 16> mask;
    for (int group = 0; group < lanes; group += 4) {
      for (int lane : from) mask.push_back(lane < 4 ? group + lane : lanes + group + lane - 4);
    }
    return ir.CreateShuffleVector(a, b, mask);
  };
  const auto add_pairs = [&](llvm::Value* a, llvm::Value* b) {
    return ir.CreateFAdd(pick(a, b, {0, 4, 1, 5}), pick(a, b, {2, 6, 3, 7}));
  };
  llvm::Value* low = add_pairs(vectors[0], vectors[1]);
  llvm::Value* high = add_pairs(vectors[2], vectors[3]);
  llvm::Value* sum = ir.CreateFAdd(pick(low, high, {0, 1, 4, 5}), pick(low, high, {2, 3, 6, 7}));
  for (int width = lanes / 2; width >= 4; width /= 2) {
    llvm::SmallVector<int, 16> lower, upper;
    for (int i = 0; i < width; ++i) {
      lower.push_back(i);
      upper.push_back(width + i);
    }
    sum = ir.CreateFAdd(ir.CreateShuffleVector(sum, lower), ir.CreateShuffleVector(sum, upper));
  }
  return sum;
}

llvm::Value* interleave(Emitter& e, llvm::Value* a, llvm::Value* b, int half) {
  const int width = 2 * e.lanes();
  llvm::SmallVector<int, 32> mask;
  for (int group = 0; group < width; group += 8) {
    for (int i = 4 * half; i < 4 * half + 4; ++i) {
      mask.push_back(group + i);
      mask.push_back(width + group + i);
    }
  }
  return e.ir().CreateShuffleVector(a, b, mask);
}

llvm::Value* fours_in_turn(Emitter& e, llvm::Value* a, llvm::Value* b, int half) {
  const int lanes = e.lanes();
  llvm::SmallVector<int, 16> mask;
  for (int i = half * lanes; i < (half + 1) * lanes; ++i) mask.push_back((i % 8 < 4 ? 0 : lanes) + i / 8 * 4 + i % 4);
  return e.ir().CreateShuffleVector(a, b, mask);
}

}  // namespace flexjit::codegen
