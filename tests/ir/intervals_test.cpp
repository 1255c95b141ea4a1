// Ranges that patterns need to be decided, written by hand; that ranges are sound is tested in property_test.cpp and, on every
// operation, in op_cases_test.cpp.
#include "ir/analysis/intervals.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ir/analysis/interval_arithmetic.h"
#include "ir/passes/passes.h"
#include "text.h"

namespace flexjit::ir::test {
namespace {

constexpr double kUnbounded = std::numeric_limits<double>::infinity();

Range ints(Op op, Range a, Range b) { return range_of({.op = op, .operand_type = Type::kInt, .operands = {a, b}}); }
Range floats(Op op, Range a, Range b) { return range_of({.op = op, .operand_type = Type::kFloat, .operands = {a, b}}); }
Range floats(Op op, Range a) { return range_of({.op = op, .operand_type = Type::kFloat, .operands = a}); }

// The mask of `text` over q in [q_lo, q_hi], kv in [kv_lo, kv_hi]: 'T', 'F' or '?'.
char verdict(const std::string& text, std::int32_t q_lo, std::int32_t q_hi, std::int32_t kv_lo, std::int32_t kv_hi) {
  const Lowered ir = lowered(text);
  std::vector<Scalar> params;
  for (const ParamInterface& param : ir.interface.params) params.push_back(param.default_value);
  const Environment environment{
      .num_heads = 8, .num_kv_heads = 2, .q_len = 1024, .kv_len = 1024, .buffers = {}, .params = params};
  IntervalAnalysis analysis(ir.program, environment, nullptr);
  const Range range = analysis.mask({.h_lo = 2, .h_hi = 3, .q_lo = q_lo, .q_hi = q_hi, .kv_lo = kv_lo, .kv_hi = kv_hi});
  return !range.is_point() ? '?' : range.lo != 0 ? 'T' : 'F';
}

TEST(Intervals, DecideTheBlocksOfCommonMasks) {
  const char* causal = "mask = q_idx >= kv_idx";
  EXPECT_EQ(verdict(causal, 128, 255, 0, 127), 'T');
  EXPECT_EQ(verdict(causal, 0, 127, 128, 255), 'F');
  EXPECT_EQ(verdict(causal, 0, 127, 0, 127), '?');
  EXPECT_EQ(verdict(causal, 128, 255, 0, 128), 'T');
  const char* window = "param w : int = 100; mask = abs(q_idx - kv_idx) <= w";
  EXPECT_EQ(verdict(window, 0, 10, 0, 10), 'T');
  EXPECT_EQ(verdict(window, 300, 310, 0, 10), 'F');
  EXPECT_EQ(verdict("mask = q_idx // 64 == kv_idx // 64", 0, 63, 0, 63), 'T');
  EXPECT_EQ(verdict("mask = q_idx // 64 == kv_idx // 64", 0, 63, 64, 127), 'F');
  EXPECT_EQ(verdict("mask = kv_idx % 128 < 64", 0, 0, 128, 191), 'T');
  EXPECT_EQ(verdict("mask = kv_idx % 128 < 64", 0, 0, 192, 255), 'F');
  EXPECT_EQ(verdict("mask = (kv_idx & 127) < 64", 0, 0, 128, 191), 'T');
  EXPECT_EQ(verdict("mask = kv_idx in {3, 70}", 0, 0, 4, 69), 'F');
  EXPECT_EQ(verdict("mask = kv_head == 0", 0, 9, 0, 9), 'T');
  EXPECT_EQ(verdict("mask = h < 2 ? false : q_idx >= 0", 0, 9, 0, 9), 'T');
  EXPECT_EQ(verdict("mask = float(q_idx) * 0.5 >= float(kv_idx)", 100, 110, 0, 50), 'T');
  EXPECT_EQ(verdict("mask = exp(float(q_idx)) > 0.5", 0, 9, 0, 9), 'T');
  const char* power_of_two_back = "let d = q_idx - kv_idx\nmask = (d & (d - 1)) == 0";
  EXPECT_EQ(verdict(power_of_two_back, 560, 623, 0, 31), 'F');
  EXPECT_EQ(verdict(power_of_two_back, 500, 563, 0, 31), '?');
  EXPECT_EQ(verdict("mask = (q_idx ^ kv_idx) < 256", 256, 511, 512, 600), 'F');
  EXPECT_EQ(verdict("mask = (q_idx ^ kv_idx) < 256", 256, 511, 300, 500), 'T');
  EXPECT_EQ(verdict("mask = (q_idx | 64) >= 64", 70, 120, 0, 0), 'T');
  const char* disc = "let x = q_idx - 50\nlet y = kv_idx - 50\nmask = x * x + y * y <= 100";
  EXPECT_EQ(verdict(disc, 45, 56, 70, 80), 'F');
  EXPECT_EQ(verdict(disc, 45, 56, 45, 56), 'T');
  EXPECT_EQ(verdict("let x = float(q_idx) - 50.0\nmask = x * x >= 0.0", 0, 100, 0, 0), 'T');
}

TEST(Intervals, ANearTieOfAnApproximateFunctionIsNotDecided) {
  EXPECT_EQ(verdict("mask = exp(float(q_idx - kv_idx)) >= 1.0", 5, 5, 5, 5), '?');
  EXPECT_EQ(verdict("mask = float(q_idx) / 3.0 >= 1.0", 3, 3, 0, 0), 'T') << "division is exact where it can be";
}

TEST(Intervals, IntsThatMayWrapAreAnyInt) {
  EXPECT_EQ(ints(Op::kAdd, {0, kIntMax, false}, {0, 1, false}), kAnyInt);
  EXPECT_EQ(ints(Op::kSub, {kIntMin, 0, false}, {1, 1, false}), kAnyInt);
  EXPECT_EQ(ints(Op::kMul, {0, 65536, false}, {0, 65536, false}), kAnyInt);
  EXPECT_EQ(verdict("let x = q_idx * 1000\nmask = x * x >= 0", 0, 100, 0, 0), '?');
  EXPECT_EQ(ints(Op::kFloorDiv, {kIntMin, 5, false}, {-1, 1, false}), kAnyInt);
  EXPECT_EQ(ints(Op::kAdd, {-5, 5, false}, {10, 20, false}), (Range{5, 25, false}));
}

TEST(Intervals, DivisionAndModulo) {
  EXPECT_EQ(ints(Op::kFloorDiv, {-7, 7, false}, {2, 2, false}), (Range{-4, 3, false}));
  EXPECT_EQ(ints(Op::kFloorDiv, {-7, 7, false}, {-2, -2, false}), (Range{-4, 3, false}));
  EXPECT_EQ(ints(Op::kFloorDiv, {4, 9, false}, {0, 3, false}), (Range{0, 9, false}));
  EXPECT_EQ(ints(Op::kMod, {10, 13, false}, {8, 8, false}), (Range{2, 5, false}));
  EXPECT_EQ(ints(Op::kMod, {-3, -1, false}, {8, 8, false}), (Range{5, 7, false}));
  EXPECT_EQ(ints(Op::kMod, {0, 100, false}, {8, 8, false}), (Range{0, 7, false}));
  EXPECT_EQ(ints(Op::kMod, {10, 13, false}, {-8, -8, false}), (Range{-6, -3, false}));
  EXPECT_EQ(ints(Op::kMod, {0, 100, false}, {-8, -8, false}), (Range{-7, 0, false}));
  EXPECT_EQ(ints(Op::kMod, {5, 6, false}, {7, 100, false}), (Range{5, 6, false}));
  EXPECT_EQ(ints(Op::kMod, {5, 6, false}, {0, 0, false}), Range::point(0));
}

// Every pair of small ranges against every pair of values in them.
TEST(Intervals, SmallIntRangesAreSoundAndTightAtPoints) {
  auto value = [](Op op, std::int64_t a, std::int64_t b) -> std::int64_t {
    const std::int64_t floor = b == 0 ? 0 : static_cast<std::int64_t>(std::floor(double(a) / double(b)));
    if (op == Op::kFloorDiv) return floor;
    if (op == Op::kMod) return b == 0 ? 0 : a - floor * b;
    if (op == Op::kAnd) return a & b;
    if (op == Op::kOr) return a | b;
    if (op == Op::kXor) return a ^ b;
    if (op == Op::kMul) return a * b;
    return op == Op::kMin ? std::min(a, b) : std::max(a, b);
  };
  for (Op op : {Op::kAnd, Op::kOr, Op::kXor}) {
    EXPECT_TRUE(contains(ints(op, {-2147483648.0, 0, false}, {5, 6, false}), static_cast<double>(value(op, -2147483647, 5))));
  }
  for (Op op : {Op::kFloorDiv, Op::kMod, Op::kAnd, Op::kOr, Op::kXor, Op::kMul, Op::kMin, Op::kMax}) {
    for (int a_lo = -9; a_lo <= 9; a_lo += 2) {
      for (int b_lo = -5; b_lo <= 5; ++b_lo) {
        for (int size = 0; size <= 12; size += 3) {
          const Range range =
              ints(op, {double(a_lo), double(a_lo + size), false}, {double(b_lo), double(b_lo + size / 2), false});
          for (int a = a_lo; a <= a_lo + size; ++a) {
            for (int b = b_lo; b <= b_lo + size / 2; ++b) {
              ASSERT_TRUE(contains(range, static_cast<double>(value(op, a, b)))) << mnemonic(op) << " " << a << " " << b;
            }
          }
          ASSERT_TRUE(size > 0 || range.is_point()) << mnemonic(op);
        }
      }
    }
  }
}

TEST(Intervals, FloatsKnowAboutNanAndInfinity) {
  EXPECT_EQ(floats(Op::kDiv, {1, 2, false}, {0, 1, false}), any_float());
  EXPECT_EQ(floats(Op::kDiv, {1, 2, false}, {2, 4, false}), (Range{0.25, 1, false}));
  EXPECT_EQ(floats(Op::kMul, {0, 1, false}, {0, kUnbounded, false}), any_float());
  EXPECT_TRUE(floats(Op::kAdd, {-kUnbounded, 0, false}, {0, kUnbounded, false}).may_nan);
  EXPECT_FALSE(floats(Op::kAdd, {-1, 0, false}, {0, kUnbounded, false}).may_nan);
  EXPECT_EQ(floats(Op::kMul, {1e30, 1e30, false}, {1e30, 1e30, false}).hi, kUnbounded) << "overflows in fp32";
  EXPECT_TRUE(is_empty(floats(Op::kLog, {-3, -1, false})));
  EXPECT_TRUE(floats(Op::kSqrt, {-1, 4, false}).may_nan);
  EXPECT_EQ(floats(Op::kSqrt, {-1, 4, false}).hi, 2);
  EXPECT_EQ(floats(Op::kExp, {-kUnbounded, 0, false}).lo, 0);
  const Range maybe_nan{1, 2, true};
  EXPECT_EQ(floats(Op::kMin, maybe_nan, {5, 6, false}), (Range{1, 6, false})) << "a NaN gives the second operand";
  EXPECT_TRUE(floats(Op::kMin, {5, 6, false}, maybe_nan).may_nan);
  EXPECT_EQ(compare_range_of(Op::kLt, maybe_nan, {5, 6, false}), kAnyBool);
  EXPECT_EQ(compare_range_of(Op::kGt, maybe_nan, {5, 6, false}), Range::point(0));
  EXPECT_EQ(compare_range_of(Op::kNe, maybe_nan, {5, 6, false}), Range::point(1));
  EXPECT_EQ(range_of({.op = Op::kFloatToInt, .operand_type = Type::kFloat, .operands = maybe_nan}), (Range{0, 2, false}));
}

TEST(Intervals, PrintNamesAndRanges) {
  const Lowered ir = lowered("param w : int = 4; mask = q_idx - kv_idx < w");
  const std::vector<Scalar> params = {std::int32_t{4}};
  const Environment environment{.q_len = 8, .kv_len = 8, .buffers = {}, .params = params};
  IntervalAnalysis analysis(ir.program, environment, nullptr);
  const auto ranges = analysis.run({.q_lo = 0, .q_hi = 3, .kv_lo = 2, .kv_hi = 5});
  EXPECT_EQ(print_intervals(ir.program, ir.interface, ranges),
            "param w : int\n"
            "%0 = q_idx : int in [0, 3]\n"
            "%1 = kv_idx : int in [2, 5]\n"
            "%2 = sub %0, %1 : int in [-5, 1]\n"
            "%3 = param w : int in [4, 4]\n"
            "%4 = lt %2, %3 : bool always true\n"
            "mask = %4\n");
}

}  // namespace
}  // namespace flexjit::ir::test
