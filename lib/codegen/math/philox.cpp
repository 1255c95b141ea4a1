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
  Rounds(Emitter& e, const PhiloxOperands& x) : e_(e), ir_(e.ir()), x_(x), uniform_(x.uniform) {}

  llvm::Value* counter(std::size_t word) { return widened(x_.counter[word].value); }

  llvm::Value* key(std::size_t which, std::uint32_t round) { return widened(narrow_key(which, round)); }
  llvm::Value* narrow_key(std::size_t which, std::uint32_t round) {
    const Int growth = e_.constant_int(static_cast<std::int32_t>(round * Philox::kKeyStep[which]));
    return outside({x_.key[which].value}, [&] { return e_.add(x_.key[which], growth).value; });
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
    if (!Emitter::is_vector(b)) std::swap(a, b);
    if (Emitter::is_vector(b) && !Emitter::is_vector(a)) a = outside({a}, [&] { return splat(a, b); });
    return outside({a, b}, [&] { return ir_.CreateXor(a, b); });
  }

  // emit() as far outside as `operands` allow: where uniform values are, where scalars are, or here.
  template <typename Emit>
  llvm::Value* outside(llvm::ArrayRef<llvm::Value*> operands, Emit emit) {
    const bool uniform = llvm::all_of(operands, [&](llvm::Value* value) { return uniform_.contains(value); });
    const bool varies = llvm::any_of(operands, [](llvm::Value* value) { return Emitter::is_vector(value); });
    llvm::BasicBlock* block = uniform ? x_.outermost : (varies ? nullptr : x_.outside);
    if (block == nullptr) return emit();
    const llvm::IRBuilderBase::InsertPointGuard guard(ir_);
    if (auto* end = block->getTerminator()) {
      ir_.SetInsertPoint(end);
    } else {
      ir_.SetInsertPoint(block);
    }
    llvm::Value* result = emit();
    if (uniform) uniform_.insert(result);
    return result;
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
  llvm::SmallPtrSet<llvm::Value*, 32> uniform_;
};

// One round.
Words after_round(Rounds& r, const Words& c, std::uint32_t round) {
  llvm::Value *a = r.multiplied(c[0], 0), *b = r.multiplied(c[2], 1);
  return {r.exclusive_or(r.upper_half(b), c[1], r.key(0, round)), b, r.exclusive_or(r.upper_half(a), c[3], r.key(1, round)), a};
}

Words words_of(Emitter& e, const PhiloxOperands& x) {
  Rounds r(e, x);
  Words c = {r.counter(0), r.counter(1), r.counter(2), r.counter(3)};
  for (std::uint32_t round = 0; round < Philox::kRounds; ++round) c = after_round(r, c, round);
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

// Which lane of the result the 64-bit lane `from` belongs to, and back, where whole vectors of both are packed at once: a lane
// of 128 bits takes two from the first half of the 64-bit lanes and two from the second.
unsigned packed_lane(unsigned from, unsigned lanes) {
  const unsigned half = from / (lanes / 2), in_half = from % (lanes / 2);
  return 4 * (in_half / 2) + 2 * half + in_half % 2;
}

enum class Half : std::uint8_t { kLower, kUpper };

llvm::Value* packed_halves(Emitter& e, llvm::Value* x, Half half) {
  const auto lanes = static_cast<unsigned>(e.lanes());
  llvm::SmallVector<int, 16> mask(lanes);
  for (unsigned i = 0; i < lanes; ++i) mask[packed_lane(i, lanes)] = static_cast<int>(2 * i + (half == Half::kUpper ? 1 : 0));
  return e.ir().CreateShuffleVector(e.ir().CreateBitCast(x, llvm::FixedVectorType::get(e.ir().getInt32Ty(), 2 * lanes)), mask);
}

llvm::Constant* packed_numbers(Emitter& e) {
  const auto lanes = static_cast<unsigned>(e.lanes());
  llvm::SmallVector<llvm::Constant*, 16> numbers;
  for (unsigned i = 0; i < lanes; ++i) numbers.push_back(e.ir().getInt64(packed_lane(i, lanes)));
  return llvm::ConstantVector::get(numbers);
}

// Lane 0 in the lower half of each of `lanes` 64-bit lanes; upper halves do not matter.
llvm::Value* first_in_all(Emitter& e, llvm::Value* x, unsigned lanes) {
  auto& ir = e.ir();
  const llvm::SmallVector<int, 32> mask(2 * lanes, 0);
  return ir.CreateBitCast(ir.CreateShuffleVector(x, mask), llvm::FixedVectorType::get(ir.getInt64Ty(), lanes));
}

// The words after the first round where counter[1] is `varying` ^ `numbers`, vectors, and all else is scalar.
Words after_first_round(Emitter& e, Rounds& r, llvm::Value* varying, llvm::Constant* numbers) {
  llvm::Value *a = r.multiplied(r.counter(0), 0), *b = r.multiplied(r.counter(2), 1);
  auto* c0 = r.exclusive_or(r.upper_half(b), r.key(0, 0));
  auto* of_row = r.outside({c0}, [&] {
    const auto lanes = llvm::cast<llvm::FixedVectorType>(varying->getType())->getNumElements();
    return e.ir().CreateXor(e.ir().CreateVectorSplat(lanes, c0), numbers);
  });
  return {e.ir().CreateXor(varying, of_row), b, r.exclusive_or(r.upper_half(a), r.counter(3), r.key(1, 0)), a};
}

// Of each 64-bit lane the upper half of `product` in the lower one, xor the lower half of `word` and `key`; above it the lower
// half of `product`: the two words that come of it.
llvm::Value* two_words(Emitter& e, Rounds& r, llvm::Value* product, llvm::Value* word, llvm::Value* key) {
  auto& ir = e.ir();
  const auto lanes = llvm::cast<llvm::FixedVectorType>(product->getType())->getNumElements();
  llvm::SmallVector<int, 16> mask;
  for (unsigned i = 0; i < 2 * lanes; ++i) mask.push_back(static_cast<int>(i ^ 1U));
  auto* halves = ir.CreateBitCast(product, llvm::FixedVectorType::get(ir.getInt32Ty(), 2 * lanes));
  auto* swapped = ir.CreateBitCast(ir.CreateShuffleVector(halves, mask), product->getType());
  auto* lower = ir.CreateAnd(word, llvm::ConstantInt::get(word->getType(), 0xffffffff));
  return r.exclusive_or(r.exclusive_or(swapped, lower), key);
}

// [a[from], b[from], a[from + 2], b[from + 2], ...] as words.
llvm::Value* in_turn(Emitter& e, llvm::Value* a, llvm::Value* b, unsigned from) {
  const auto lanes = llvm::cast<llvm::FixedVectorType>(a->getType())->getNumElements();
  llvm::SmallVector<int, 16> mask;
  for (unsigned i = from; i < lanes; i += 2) {
    mask.push_back(static_cast<int>(i));
    mask.push_back(static_cast<int>(lanes + i));
  }
  return e.ir().CreateBitCast(e.ir().CreateShuffleVector(a, b, mask),
                              llvm::FixedVectorType::get(e.ir().getInt32Ty(), 2 * lanes));
}

}  // namespace

Int emit_philox(Emitter& e, const PhiloxOperands& x) { return {lower_halves(e, words_of(e, x)[0])}; }

// Word 0 of the last round is put together where words lie side by side.
Int emit_philox_of_neighbours(Emitter& e, const PhiloxOperands& x) {
  auto& ir = e.ir();
  Rounds r(e, x);
  auto* first = first_in_all(e, x.counter[1].value, static_cast<unsigned>(e.lanes()));
  Words c = after_first_round(e, r, first, packed_numbers(e));
  constexpr std::uint32_t kLast = Philox::kRounds - 1;
  for (std::uint32_t round = 1; round < kLast; ++round) c = after_round(r, c, round);
  auto* halves = ir.CreateXor(packed_halves(e, r.multiplied(c[2], 1), Half::kUpper), packed_halves(e, c[1], Half::kLower));
  return {r.exclusive_or(halves, r.narrow_key(0, kLast))};
}

Int emit_philox_of_four(Emitter& e, const PhiloxOperands& x) {
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
  return chosen;
}

// A block in each 64-bit lane, in the order in which both vectors take them.
std::array<Int, 2> emit_philox_of_four_neighbours(Emitter& e, const PhiloxOperands& x) {
  auto& ir = e.ir();
  Rounds r(e, x);
  const auto blocks = static_cast<unsigned>(e.lanes()) / 2;
  llvm::SmallVector<llvm::Constant*, 16> numbers;
  for (unsigned i = 0; i < blocks; ++i) numbers.push_back(ir.getInt64(i / 2 + i % 2 * (blocks / 2)));
  auto* halves = llvm::FixedVectorType::get(ir.getInt32Ty(), 2 * blocks);
  auto* keys = ir.CreateBitCast(first_in_all(e, x.counter[1].value, blocks), halves);
  auto* first = ir.CreateBitCast(ir.CreateLShr(keys, 2), llvm::FixedVectorType::get(ir.getInt64Ty(), blocks));
  auto* block = ir.CreateAdd(first, llvm::ConstantVector::get(numbers));
  Words c = after_first_round(e, r, block, llvm::Constant::getNullValue(block->getType()));
  constexpr std::uint32_t kLast = Philox::kRounds - 1;
  for (std::uint32_t round = 1; round < kLast; ++round) c = after_round(r, c, round);
  llvm::Value* low = two_words(e, r, r.multiplied(c[2], 1), c[1], r.key(0, kLast));
  llvm::Value* high = two_words(e, r, r.multiplied(c[0], 0), c[3], r.key(1, kLast));
  return {Int{in_turn(e, low, high, 0)}, Int{in_turn(e, low, high, 1)}};
}

}  // namespace flexjit::codegen
