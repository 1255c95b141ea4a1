// Rounds of Philox on 64-bit lanes whose lower halves are words: a product is the next word as it lies, its upper half one
// shift away, and what the upper halves hold does not matter, because x86 multiplies the lower ones alone.
#include "codegen/math/philox.h"

#include <llvm/IR/Constants.h>

#include <algorithm>
#include <utility>

#include "support/philox.h"

namespace flexjit::codegen {
namespace {

using support::Philox;
using Words = std::array<llvm::Value*, 4>;

// The arithmetic of one call.
class Rounds {
 public:
  Rounds(Emitter& e, const PhiloxOperands& x) : e_(e), ir_(e.ir()), x_(x) {}

  llvm::Value* counter(std::size_t word) { return widened(x_.counter[word].value); }

  llvm::Value* key(std::size_t which, std::uint32_t round) {
    const Int growth = e_.constant_int(static_cast<std::int32_t>(round * Philox::kKeyStep[which]));
    return widened(outside({x_.key[which].value}, [&] { return e_.add(x_.key[which], growth).value; }));
  }

  // As an `and`: LLVM makes poor code of a multiplication that it takes for one of 32-bit lanes.
  llvm::Value* product(llvm::Value* word, llvm::Value* multipliers) {
    return outside({word}, [&] {
      return ir_.CreateMul(ir_.CreateAnd(word, llvm::ConstantInt::get(word->getType(), 0xffffffff)), multipliers);
    });
  }
  // Times the first or second multiplier.
  llvm::Value* multiplied(llvm::Value* word, std::size_t which) {
    return product(word, llvm::ConstantInt::get(word->getType(), Philox::kMultiplier[which]));
  }

  llvm::Value* upper_half(llvm::Value* x) {
    return outside({x}, [&] { return ir_.CreateLShr(x, 32); });
  }

  // The scalars first, outside, and then once more as a vector.
  llvm::Value* exclusive_or(llvm::Value* a, llvm::Value* b, llvm::Value* c) {
    llvm::SmallVector<llvm::Value*, 3> all = {a, b, c};
    std::ranges::partition(all, [](llvm::Value* value) { return !Emitter::is_vector(value); });
    return exclusive_or(exclusive_or(all[0], all[1]), all[2]);
  }
  llvm::Value* exclusive_or(llvm::Value* a, llvm::Value* b) {
    if (Emitter::is_vector(b) && !Emitter::is_vector(a)) a = outside({a}, [&] { return splat(a, b); });
    return outside({a, b}, [&] { return ir_.CreateXor(a, b); });
  }

  // emit() where the scalars are, if `operands` are scalars; else here.
  template <typename Emit>
  llvm::Value* outside(llvm::ArrayRef<llvm::Value*> operands, Emit emit) {
    if (x_.outside == nullptr || llvm::any_of(operands, [](llvm::Value* value) { return Emitter::is_vector(value); })) {
      return emit();
    }
    const llvm::IRBuilderBase::InsertPointGuard guard(ir_);
    if (auto* end = x_.outside->getTerminator()) {
      ir_.SetInsertPoint(end);
    } else {
      ir_.SetInsertPoint(x_.outside);
    }
    return emit();
  }

 private:
  llvm::Value* widened(llvm::Value* x) {
    return outside({x}, [&] { return ir_.CreateZExt(x, e_.shaped(ir_.getInt64Ty(), x)); });
  }
  llvm::Value* splat(llvm::Value* scalar, llvm::Value* like) {
    return ir_.CreateVectorSplat(llvm::cast<llvm::VectorType>(like->getType())->getElementCount(), scalar);
  }

  Emitter& e_;
  llvm::IRBuilder<>& ir_;
  const PhiloxOperands& x_;
};

Words words_of(Emitter& e, const PhiloxOperands& x) {
  Rounds r(e, x);
  Words c = {r.counter(0), r.counter(1), r.counter(2), r.counter(3)};
  for (std::uint32_t round = 0; round < Philox::kRounds; ++round) {
    llvm::Value *a = r.multiplied(c[0], 0), *b = r.multiplied(c[2], 1);
    c = {r.exclusive_or(r.upper_half(b), c[1], r.key(0, round)), b, r.exclusive_or(r.upper_half(a), c[3], r.key(1, round)), a};
  }
  return c;
}

// The lower halves of 64-bit lanes.
llvm::Value* lower_halves(Emitter& e, llvm::Value* x) {
  if (!Emitter::is_vector(x)) return e.ir().CreateTrunc(x, e.ir().getInt32Ty());
  const auto lanes = llvm::cast<llvm::FixedVectorType>(x->getType())->getNumElements();
  llvm::SmallVector<int, 16> mask;
  for (unsigned i = 0; i < lanes; ++i) mask.push_back(static_cast<int>(2 * i));
  return e.ir().CreateShuffleVector(e.ir().CreateBitCast(x, llvm::FixedVectorType::get(e.ir().getInt32Ty(), 2 * lanes)), mask);
}

Float unit_float(Emitter& e, llvm::Value* word) {
  auto* number = e.ir().CreateUIToFP(word, e.shaped(e.ir().getFloatTy(), word));
  return {e.ir().CreateFMul(number, llvm::ConstantFP::get(number->getType(), 0x1p-32))};
}

// [a, b, a, b, ...]
llvm::Value* pairs(Emitter& e, llvm::Value* a, llvm::Value* b, unsigned lanes) {
  auto& ir = e.ir();
  llvm::Value* pair = llvm::PoisonValue::get(llvm::FixedVectorType::get(ir.getInt64Ty(), 2));
  pair = ir.CreateInsertElement(ir.CreateInsertElement(pair, a, std::uint64_t{0}), b, std::uint64_t{1});
  llvm::SmallVector<int, 16> mask;
  for (unsigned i = 0; i < lanes; ++i) mask.push_back(static_cast<int>(i % 2));
  return ir.CreateShuffleVector(pair, mask);
}

// [0, 0, 1, 0, 2, 0, ...]
llvm::Value* numbers_of_pairs(Emitter& e, unsigned lanes) {
  llvm::SmallVector<llvm::Constant*, 16> numbers;
  for (unsigned i = 0; i < lanes; ++i) numbers.push_back(e.ir().getInt64(i % 2 == 0 ? i / 2 : 0));
  return llvm::ConstantVector::get(numbers);
}

llvm::Value* with_pairs_swapped(Emitter& e, llvm::Value* x, unsigned lanes) {
  llvm::SmallVector<int, 16> mask;
  for (unsigned i = 0; i < lanes; ++i) mask.push_back(static_cast<int>(i ^ 1U));
  return e.ir().CreateShuffleVector(x, mask);
}

// The lower halves of both in turn.
llvm::Value* interleaved(Emitter& e, llvm::Value* even, llvm::Value* odd, unsigned lanes) {
  auto& ir = e.ir();
  auto* words = llvm::FixedVectorType::get(ir.getInt32Ty(), 2 * lanes);
  llvm::SmallVector<int, 16> mask;
  for (unsigned i = 0; i < lanes; ++i) {
    mask.push_back(static_cast<int>(2 * i));
    mask.push_back(static_cast<int>(2 * (lanes + i)));
  }
  return ir.CreateShuffleVector(ir.CreateBitCast(even, words), ir.CreateBitCast(odd, words), mask);
}

}  // namespace

Float emit_philox(Emitter& e, const PhiloxOperands& x) { return unit_float(e, lower_halves(e, words_of(e, x)[0])); }

Float emit_philox_of_four(Emitter& e, const PhiloxOperands& x) {
  PhiloxOperands of_block = x;
  of_block.counter[1] = {e.ir().CreateLShr(x.counter[1].value, 2)};
  if (!Emitter::is_vector(x.counter[1].value)) of_block.outside = nullptr;  // the block number is known here alone
  const Words words = words_of(e, of_block);
  const Int which = e.bit_and(x.counter[1], e.constant_int(3));
  Int chosen{lower_halves(e, words[0])};
  for (std::int32_t i = 1; i < 4; ++i) {
    const Int word{lower_halves(e, words[static_cast<std::size_t>(i)])};
    chosen = e.select(e.compare(llvm::CmpInst::ICMP_EQ, which, e.constant_int(i)), word, chosen);
  }
  return unit_float(e, chosen.value);
}

// The first round, of which only word 0 varies over the lanes, by scalars; then both products of a round are one, of a vector
// that holds words 0 and 2 of a block, and of the next; words 1 and 3 are in another.
Float emit_philox_of_four_neighbours(Emitter& e, const PhiloxOperands& x, Int first) {
  auto& ir = e.ir();
  Rounds r(e, x);
  const auto lanes = static_cast<unsigned>(e.lanes()) / 2;
  const auto of_row = [&](llvm::Value* a, llvm::Value* b) { return r.outside({a, b}, [&] { return pairs(e, a, b, lanes); }); };
  llvm::Value *a = r.multiplied(r.counter(0), 0), *b = r.multiplied(r.counter(2), 1);
  llvm::Value* c0 = r.exclusive_or(r.upper_half(b), r.key(0, 0));
  llvm::Value* c2 = r.exclusive_or(r.upper_half(a), r.counter(3), r.key(1, 0));
  llvm::Value *numbers = numbers_of_pairs(e, lanes), *odd = of_row(b, a);
  llvm::Value* even = r.outside({c0, c2}, [&] { return ir.CreateXor(pairs(e, c0, c2, lanes), numbers); });
  auto* block = ir.CreateZExt(ir.CreateLShr(first.value, 2), ir.getInt64Ty());
  even = ir.CreateXor(even, pairs(e, block, ir.getInt64(0), lanes));
  auto* multipliers = pairs(e, ir.getInt64(Philox::kMultiplier[0]), ir.getInt64(Philox::kMultiplier[1]), lanes);
  for (std::uint32_t round = 1; round < Philox::kRounds; ++round) {
    auto* products = with_pairs_swapped(e, r.product(even, multipliers), lanes);
    even = ir.CreateXor(ir.CreateXor(r.upper_half(products), odd), of_row(r.key(0, round), r.key(1, round)));
    odd = products;
  }
  return unit_float(e, interleaved(e, even, odd, lanes));
}

}  // namespace flexjit::codegen
