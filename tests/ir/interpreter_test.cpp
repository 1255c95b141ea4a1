// Reads of every element type and stride, faults and the lanes that have none, rows in parts, and the two precisions. The
// operations themselves are in op_cases_test.cpp.
#include "ir/evaluate/interpreter.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>

#include "ir/passes/passes.h"
#include "support/check.h"

namespace flexjit::ir::test {
namespace {

// score = t[kv_idx], or of an int or bool buffer its value as a float.
Program reads_by_key(DType dtype) {
  ProgramBuilder builder;
  const std::uint32_t t = builder.add_buffer({dtype, 1});
  Id value = builder.read({.buffer = t, .site = 5}, std::array{builder.const_bool(true), builder.variable(Op::kKvIdx)});
  if (element_type(dtype) == Type::kBool) value = builder.make(Op::kBoolToInt, {value});
  if (element_type(dtype) != Type::kFloat) value = builder.make(Op::kIntToFloat, {value});
  return std::move(builder).finish(value, {});
}

template <typename T, std::size_t N>
std::vector<double> read_all(DType dtype, const std::array<T, N>& data) {
  const std::array<TensorView, 1> views = {TensorView(data.data(), dtype, {static_cast<std::int64_t>(N)})};
  const Environment environment{.kv_len = static_cast<std::int32_t>(N), .buffers = views, .params = {}};
  const Program program = reads_by_key(dtype);
  Interpreter interpreter(program, environment);
  const std::vector<std::uint8_t> allowed(N, 1);
  std::vector<double> scores(N, -99);
  EXPECT_FALSE(interpreter.eval_score({.count = static_cast<std::int32_t>(N)}, allowed, scores));
  return scores;
}

using Values = std::vector<double>;

TEST(Interpreter, ReadsEveryElementType) {
  EXPECT_EQ(read_all<float>(DType::kF32, std::array<float, 2>{1.5F, -2.0F}), (Values{1.5, -2}));
  EXPECT_EQ(read_all<double>(DType::kF64, std::array<double, 2>{0.1, 1e300}), (Values{double{0.1F}, INFINITY}));
  EXPECT_EQ(read_all<std::int32_t>(DType::kI32, std::array<std::int32_t, 2>{-7, 9}), (Values{-7, 9}));
  EXPECT_EQ(read_all<std::int64_t>(DType::kI64, std::array<std::int64_t, 3>{-7, (std::int64_t{1} << 32) + 3, 0x80000000LL}),
            (Values{-7, 4294967296.0, 2147483648.0}));
  EXPECT_EQ(read_all<std::int8_t>(DType::kI8, std::array<std::int8_t, 2>{-128, 127}), (Values{-128, 127}));
  EXPECT_EQ(read_all<std::uint8_t>(DType::kU8, std::array<std::uint8_t, 2>{128, 255}), (Values{128, 255}));
  EXPECT_EQ(read_all<std::uint8_t>(DType::kBool, std::array<std::uint8_t, 3>{0, 1, 2}), (Values{0, 1, 1}));
  // 1, -2, largest, smallest subnormal, inf
  EXPECT_EQ(read_all<std::uint16_t>(DType::kF16, std::array<std::uint16_t, 5>{0x3c00, 0xc000, 0x7bff, 0x0001, 0xfc00}),
            (Values{1, -2, 65504, std::ldexp(1.0, -24), -INFINITY}));
  EXPECT_EQ(read_all<std::uint16_t>(DType::kBF16, std::array<std::uint16_t, 3>{0x3f80, 0xc000, 0x7f80}),
            (Values{1, -2, INFINITY}));
  EXPECT_TRUE(std::isnan(read_all<std::uint16_t>(DType::kF16, std::array<std::uint16_t, 1>{0x7e00})[0]));
}

TEST(Interpreter, ReadsThroughStrides) {
  const std::array<float, 8> data = {0, 1, 2, 3, 4, 5, 6, 7};
  TensorView transposed(data.data(), DType::kF32, {4, 2});  // element (i, j) at 4 * j + i
  transposed.strides = {1, 4, 0, 0};
  ProgramBuilder builder;
  const std::uint32_t t = builder.add_buffer({DType::kF32, 2});
  const Id guard = builder.const_bool(true);
  const Id value = builder.read({.buffer = t}, std::array{guard, builder.variable(Op::kKvIdx), builder.variable(Op::kQIdx)});
  const Program program = std::move(builder).finish(value, {});
  const Environment environment{.q_len = 2, .kv_len = 4, .buffers = {&transposed, 1}, .params = {}};
  Interpreter interpreter(program, environment);
  const std::array<std::uint8_t, 3> allowed = {1, 1, 1};
  std::array<double, 3> scores{};
  EXPECT_FALSE(interpreter.eval_score({.q_idx = 1, .kv_begin = 1, .count = 3}, allowed, scores));
  EXPECT_EQ(scores, (std::array<double, 3>{5, 6, 7}));
}

class OutOfRange : public testing::Test {
 protected:
  OutOfRange() {
    views_ = {TensorView(data_.data(), DType::kF32, {2})};
    environment_ = {.q_len = 1, .kv_len = 5, .buffers = views_, .params = {}};
  }
  std::array<float, 2> data_ = {3, 4};
  std::array<TensorView, 1> views_;
  Environment environment_;
};

TEST_F(OutOfRange, GivesZeroAndReportsTheFirstLane) {
  const Program program = reads_by_key(DType::kF32);
  Interpreter interpreter(program, environment_);
  const std::array<std::uint8_t, 5> allowed = {1, 1, 0, 1, 1};
  std::array<double, 5> scores = {9, 9, 9, 9, 9};
  const auto fault = interpreter.eval_score({.count = 5}, allowed, scores);
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->site, 5U);
  EXPECT_EQ(fault->dimension, 0);
  EXPECT_EQ(fault->index, 3);  // lane 2 is not allowed
  EXPECT_EQ(scores, (std::array<double, 5>{3, 4, 9, 0, 0}));
}

TEST_F(OutOfRange, MaskedLanesDoNotCount) {
  const Program program = reads_by_key(DType::kF32);
  Interpreter interpreter(program, environment_);
  const std::array<std::uint8_t, 5> allowed = {1, 1, 0, 0, 0};
  std::array<double, 5> scores = {9, 9, 9, 9, 9};
  EXPECT_FALSE(interpreter.eval_score({.count = 5}, allowed, scores));
  EXPECT_EQ(scores, (std::array<double, 5>{3, 4, 9, 9, 9}));
}

TEST_F(OutOfRange, GuardsPredicate) {
  ProgramBuilder builder;
  const std::uint32_t t = builder.add_buffer({DType::kF32, 1});
  const Id kv = builder.variable(Op::kKvIdx);
  const Id guard = builder.make(Op::kLt, {kv, builder.const_int(2)});
  const Id mask = builder.make(Op::kGt, {builder.read({.buffer = t}, std::array{guard, kv}), builder.const_float(3)});
  const Program program = std::move(builder).finish({}, mask);
  Interpreter interpreter(program, environment_);
  std::array<std::uint8_t, 5> allowed{};
  EXPECT_FALSE(interpreter.eval_mask({.count = 5}, allowed));
  EXPECT_EQ(allowed, (std::array<std::uint8_t, 5>{0, 1, 0, 0, 0}));
}

TEST_F(OutOfRange, NegativeAndHugeIndicesAreReportedAsTheyAre) {
  for (const std::int32_t index : {-1, 2, 2147483647, -2147483647 - 1}) {
    ProgramBuilder builder;
    const std::uint32_t t = builder.add_buffer({DType::kF32, 1});
    const Id value = builder.read({.buffer = t}, std::array{builder.const_bool(true), builder.const_int(index)});
    const Program program = std::move(builder).finish(value, {});
    Interpreter interpreter(program, environment_);
    std::array<double, 1> scores{};
    const auto fault = interpreter.eval_score({.count = 1}, std::array<std::uint8_t, 1>{1}, scores);
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->index, index);
  }
}

TEST_F(OutOfRange, AWrongProofIsOurDefect) {
  ProgramBuilder builder;
  const std::uint32_t t = builder.add_buffer({DType::kF32, 1});
  const std::array<Id, 2> at = {builder.const_bool(true), builder.variable(Op::kKvIdx)};
  const Id value = builder.read({.buffer = t, .checked = false}, at);
  const Program program = std::move(builder).finish(value, {});
  Interpreter interpreter(program, environment_);
  std::array<double, 5> scores{};
  EXPECT_THROW(interpreter.eval_score({.count = 5}, std::array<std::uint8_t, 5>{1, 1, 1, 1, 1}, scores),
               support::InternalError);
}

TEST(Interpreter, DotReportsTheIndexOfEitherBuffer) {
  const std::array<float, 6> data = {1, 2, 3, 4, 5, 6};
  const std::array<TensorView, 1> views = {TensorView(data.data(), DType::kF32, {3, 2})};
  const Environment environment{.q_len = 3, .kv_len = 4, .buffers = views, .params = {}};
  ProgramBuilder builder;
  const std::uint32_t t = builder.add_buffer({DType::kF32, 2});
  const std::array<Id, 3> at = {builder.const_bool(true), builder.variable(Op::kQIdx), builder.variable(Op::kKvIdx)};
  const Id value = builder.dot({.buffer_a = t, .buffer_b = t, .extent = 2, .site = 8}, at);
  const Program program = std::move(builder).finish(value, {});
  Interpreter interpreter(program, environment);
  std::array<double, 4> scores{};
  const auto fault = interpreter.eval_score({.q_idx = 1, .count = 4}, std::array<std::uint8_t, 4>{1, 1, 1, 1}, scores);
  EXPECT_EQ(scores, (std::array<double, 4>{11, 25, 39, 0}));
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->site, 8U);
  EXPECT_EQ(fault->dimension, 1);
  EXPECT_EQ(fault->index, 3);
}

TEST(Interpreter, ScoresAreFp64AndIndexFloatsFp32) {
  ProgramBuilder builder;
  const Id third =
      builder.make(Op::kDiv, {builder.make(Op::kIntToFloat, {builder.variable(Op::kKvIdx)}), builder.const_float(3)});
  const Id sum = builder.make(Op::kAdd, {builder.variable(Op::kScore), third});
  const Program program = std::move(builder).finish(sum, {});
  const Environment environment{.q_len = 1, .kv_len = 2, .buffers = {}, .params = {}};
  Interpreter interpreter(program, environment);
  std::array<double, 1> scores = {1e-12};
  interpreter.eval_score({.kv_begin = 1, .count = 1}, std::array<std::uint8_t, 1>{1}, scores);
  EXPECT_EQ(scores[0], 1e-12 + static_cast<double>(1.0F / 3.0F));
}

TEST(Interpreter, RowsInPartsAreTheWholeRow) {
  ProgramBuilder builder;
  const Id kv = builder.variable(Op::kKvIdx);
  const Id even = builder.make(Op::kEq, {builder.make(Op::kMod, {kv, builder.const_int(3)}), builder.const_int(0)});
  const Program program = std::move(builder).finish({}, even);
  const Environment environment{.q_len = 1, .kv_len = 600, .buffers = {}, .params = {}};
  Interpreter interpreter(program, environment);
  for (const std::int32_t begin : {0, 1, 256, 344}) {
    std::array<std::uint8_t, 256> allowed{};
    EXPECT_FALSE(interpreter.eval_mask({.kv_begin = begin, .count = 256}, allowed));
    for (std::int32_t l = 0; l < 256; ++l) ASSERT_EQ(allowed[static_cast<std::size_t>(l)], (begin + l) % 3 == 0 ? 1 : 0);
  }
  std::array<std::uint8_t, 1> none = {7};
  EXPECT_FALSE(interpreter.eval_mask({.count = 0}, none));
  EXPECT_EQ(none[0], 7);
}

TEST(Interpreter, NoRootsAllowEverythingAndKeepTheScore) {
  const Program program = ProgramBuilder().finish({}, {});
  const Environment environment{.buffers = {}, .params = {}};
  Interpreter interpreter(program, environment);
  std::array<std::uint8_t, 2> allowed = {0, 0};
  std::array<double, 2> scores = {0.5, -1};
  EXPECT_FALSE(interpreter.eval_mask({.count = 2}, allowed));
  EXPECT_FALSE(interpreter.eval_score({.count = 2}, allowed, scores));
  EXPECT_EQ(allowed, (std::array<std::uint8_t, 2>{1, 1}));
  EXPECT_EQ(scores, (std::array<double, 2>{0.5, -1}));
}

}  // namespace
}  // namespace flexjit::ir::test
