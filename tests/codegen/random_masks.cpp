// Grows an expression downwards to a depth, by type.
#include "random_masks.h"

#include <random>

namespace flexjit::test {
namespace {

using ir::Id;
using ir::Op;
using ir::Type;

constexpr std::int32_t kInts[] = {0, 1, -1, 2, 3, 5, 7, 8, 16, -4, 64, 1 << 20, 1 << 30, 2147483647, -2147483647 - 1};
constexpr std::int64_t kLongs[] = {
    0, 1, -3, 40, 1LL << 31, -(1LL << 33), 1LL << 62, 0x7fffffffffffffff, -0x7fffffffffffffff - 1};

class Grower {
 public:
  explicit Grower(std::uint64_t seed) : random_(seed) {
    for (DType dtype : {DType::kI32, DType::kI32, DType::kBool, DType::kBool, DType::kI64, DType::kI32})
      builder_.add_buffer({dtype, 1});
    builder_.add_param(Type::kInt);
  }

  ir::Program grow() {
    const Id root = boolean(2 + static_cast<int>(below(3)));
    return std::move(builder_).finish(Id{}, root);
  }

 private:
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
  template <typename T, std::size_t N>
  T pick(const T (&from)[N]) {
    return from[below(N)];
  }

  Id read(MaskBuffer buffer) {
    const Id q = builder_.variable(Op::kQIdx), kv = builder_.variable(Op::kKvIdx);
    const bool of_columns = buffer == kIntsOfColumns || buffer == kFlagsOfColumns;
    const Id at = buffer == kIntsOfPairs ? builder_.make(Op::kAdd, {q, kv}) : of_columns ? kv : q;
    const std::vector<Id> operands = {builder_.const_bool(true), builder_.make(Op::kMod, {at, builder_.const_int(kPeriod)})};
    return builder_.read({.buffer = buffer, .site = buffer, .checked = true}, operands);
  }

  Id int_leaf() {
    constexpr Op kUniformOps[] = {Op::kBatch, Op::kHead, Op::kQLen, Op::kKvLen};
    switch (below(9)) {
      case 0: return builder_.const_int(pick(kInts));
      case 1: return builder_.variable(pick(kUniformOps));
      case 2: return builder_.param(0);
      case 3: return read(kIntsOfRows);
      case 4: return read(kIntsOfColumns);
      case 5: return below(4) == 0 ? read(kIntsOfPairs) : builder_.const_int(pick(kInts));
      case 6: return builder_.make(Op::kSub, {builder_.variable(Op::kQIdx), builder_.variable(Op::kKvIdx)});
      case 7: return builder_.variable(Op::kQIdx);
      default: return builder_.variable(Op::kKvIdx);
    }
  }

  // What both widths have in the same way.
  Id arithmetic(Type type, int depth) {
    constexpr Op kOps[] = {Op::kAdd, Op::kAdd, Op::kSub, Op::kSub, Op::kMul,
                           Op::kMin, Op::kMax, Op::kAbs, Op::kNeg, Op::kSelect};
    const Op op = pick(kOps);
    const auto one = [&] { return type == Type::kInt ? integer(depth) : wide(depth); };
    if (op == Op::kAbs || op == Op::kNeg) return builder_.make(op, {one()});
    const Id a = one(), b = one();
    return op == Op::kSelect ? builder_.make(op, {boolean(depth), a, b}) : builder_.make(op, {a, b});
  }

  Id integer(int depth) {
    if (depth == 0 || below(4) == 0) return int_leaf();
    constexpr Op kUnknown[] = {Op::kFloorDiv, Op::kMod, Op::kAnd, Op::kOr, Op::kXor, Op::kShl, Op::kShr};
    switch (below(10)) {
      case 0: return builder_.make(pick(kUnknown), {integer(depth - 1), integer(depth - 1)});
      case 1: return builder_.make(Op::kBoolToInt, {boolean(depth - 1)});
      case 2: return builder_.make(Op::kLongToInt, {wide(depth - 1)});
      default: return arithmetic(Type::kInt, depth - 1);
    }
  }

  Id wide(int depth) {
    if (depth == 0 || below(3) == 0) {
      if (below(3) == 0) return builder_.const_long(pick(kLongs));
      return below(3) == 0 ? read(kLongsOfRows) : builder_.make(Op::kIntToLong, {int_leaf()});
    }
    return below(5) == 0 ? builder_.make(Op::kIntToLong, {integer(depth - 1)}) : arithmetic(Type::kLong, depth - 1);
  }

  Id comparison(int depth) {
    constexpr Op kOps[] = {Op::kLt, Op::kLe, Op::kGt, Op::kGe, Op::kLt, Op::kLe, Op::kEq, Op::kNe};
    const Op op = pick(kOps);
    if (below(12) == 0) {
      const Id a = builder_.make(Op::kIntToFloat, {integer(depth)}), b = builder_.const_float(8.5);
      return builder_.make(op, {a, b});
    }
    if (below(4) == 0) return builder_.make(op, {wide(depth), wide(depth)});
    return builder_.make(op, {integer(depth), integer(depth)});
  }

  Id boolean(int depth) {
    if (depth == 0)
      return below(5) == 0 ? builder_.const_bool(below(2) == 0) : read(below(2) == 0 ? kFlagsOfRows : kFlagsOfColumns);
    switch (below(9)) {
      case 0: return builder_.make(Op::kAnd, {boolean(depth - 1), boolean(depth - 1)});
      case 1: return builder_.make(Op::kOr, {boolean(depth - 1), boolean(depth - 1)});
      case 2: return builder_.make(Op::kNot, {boolean(depth - 1)});
      case 3: return builder_.make(Op::kSelect, {boolean(depth - 1), boolean(depth - 1), boolean(depth - 1)});
      case 4: return builder_.make(below(2) == 0 ? Op::kXor : Op::kEq, {boolean(depth - 1), boolean(depth - 1)});
      default: return comparison(depth - 1);
    }
  }

  std::mt19937_64 random_;
  ir::ProgramBuilder builder_;
};

}  // namespace

ir::Program random_mask(std::uint64_t seed) { return Grower(seed).grow(); }

}  // namespace flexjit::test
