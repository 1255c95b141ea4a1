// The builder: what is merged, what is refused, what finish() keeps, and how a Program prints.
#include <gtest/gtest.h>

#include <cstdlib>

#include "ir/passes/passes.h"
#include "support/check.h"

namespace flexjit::ir::test {
namespace {

TEST(ProgramBuilder, MergesEqualNodes) {
  ProgramBuilder builder;
  const Id q = builder.variable(Op::kQIdx);
  EXPECT_EQ(q, builder.variable(Op::kQIdx));
  EXPECT_EQ(builder.make(Op::kAdd, {q, builder.const_int(1)}), builder.make(Op::kAdd, {q, builder.const_int(1)}));
  EXPECT_NE(builder.make(Op::kSub, {q, builder.const_int(1)}), builder.make(Op::kSub, {builder.const_int(1), q}));
  EXPECT_NE(builder.const_int(1), builder.const_bool(true));
  EXPECT_NE(builder.const_float(0.0F), builder.const_float(-0.0F));
  EXPECT_EQ(builder.const_float(std::bit_cast<float>(0x7fc00001U)), builder.const_float(std::bit_cast<float>(0xffc00000U)));
}

TEST(ProgramBuilder, MergesReadsOfOneElementAndKeepsTheFirstSite) {
  ProgramBuilder builder;
  const std::uint32_t t = builder.add_buffer({DType::kF32, 1});
  const std::uint32_t u = builder.add_buffer({DType::kF32, 1});
  const std::array<Id, 2> at = {builder.const_bool(true), builder.variable(Op::kHead)};
  const Id first = builder.read({.buffer = t, .site = 3}, at);
  EXPECT_EQ(first, builder.read({.buffer = t, .site = 4}, at));
  EXPECT_EQ(builder.program().read(first).site, 3U);
  EXPECT_NE(first, builder.read({.buffer = u, .site = 3}, at));
  EXPECT_NE(first, builder.read({.buffer = t, .site = 3, .checked = false}, at));
}

TEST(ProgramBuilder, RefusesBrokenTypes) {
  ProgramBuilder builder;
  const std::uint32_t t = builder.add_buffer({DType::kF32, 2});
  const Id i = builder.const_int(1);
  const Id f = builder.const_float(1);
  const Id b = builder.const_bool(true);
  EXPECT_THROW(builder.make(Op::kAdd, {i, f}), support::InternalError);
  EXPECT_THROW(builder.make(Op::kAdd, {b, b}), support::InternalError);
  EXPECT_THROW(builder.make(Op::kAdd, {i}), support::InternalError);
  EXPECT_THROW(builder.make(Op::kDiv, {i, i}), support::InternalError);
  EXPECT_THROW(builder.make(Op::kAnd, {f, f}), support::InternalError);
  EXPECT_THROW(builder.make(Op::kShl, {b, b}), support::InternalError);
  EXPECT_THROW(builder.make(Op::kLt, {b, b}), support::InternalError);
  EXPECT_THROW(builder.make(Op::kSelect, {i, f, f}), support::InternalError);
  EXPECT_THROW(builder.make(Op::kSelect, {b, f, i}), support::InternalError);
  EXPECT_THROW(builder.make(Op::kIntToFloat, {f}), support::InternalError);
  EXPECT_THROW(builder.make(Op::kRead, {b}), support::InternalError);
  EXPECT_THROW(builder.make(Op::kAdd, {i, Id{99}}), support::InternalError);
  EXPECT_THROW(builder.read({.buffer = t}, std::array{b, i}), support::InternalError);
  EXPECT_THROW(builder.read({.buffer = t}, std::array{b, i, f}), support::InternalError);
  EXPECT_THROW(builder.read({.buffer = 7}, std::array{b, i}), support::InternalError);
  const std::uint32_t ints = builder.add_buffer({DType::kI32, 1});
  EXPECT_THROW(builder.accumulate({.buffer = ints}, std::array{b, f, i}), support::InternalError);
  EXPECT_THROW(builder.accumulate({.buffer = t}, std::array{b, f, i}), support::InternalError);
  EXPECT_THROW(builder.accumulate({.buffer = t}, std::array{b, i, i, i}), support::InternalError);
  EXPECT_THROW(builder.add_accumulation(f), support::InternalError);
  EXPECT_THROW(builder.param(0), support::InternalError);
  EXPECT_THROW(builder.variable(Op::kAdd), support::InternalError);
  EXPECT_THROW(std::move(builder).finish(i, {}), support::InternalError);
}

TEST(ProgramBuilder, FinishDropsWhatNoRootReachesAndNumbersByTheExpression) {
  auto build = [](bool mask_first) {
    ProgramBuilder builder;
    builder.make(Op::kNeg, {builder.const_int(77)});
    if (mask_first) builder.variable(Op::kKvIdx);
    const Id score = builder.make(Op::kTanh, {builder.variable(Op::kScore)});
    const Id mask = builder.make(Op::kGe, {builder.variable(Op::kQIdx), builder.variable(Op::kKvIdx)});
    return std::move(builder).finish(score, mask);
  };
  EXPECT_EQ(build(false), build(true));
  EXPECT_EQ(print(build(true)),
            "%0 = score : float\n%1 = tanh %0 : float\n%2 = q_idx : int\n%3 = kv_idx : int\n%4 = ge %2, %3 : bool\n"
            "score = %1\nmask = %4\n");
}

TEST(ProgramBuilder, WhatIsAddedTwiceStandsTwice) {
  const auto adding = [](int times) {
    ProgramBuilder builder;
    const std::uint32_t t = builder.add_buffer({DType::kF32, 2});
    const std::array<Id, 4> operands = {builder.const_bool(true), builder.variable(Op::kScoreGrad), builder.variable(Op::kHead),
                                        builder.variable(Op::kKvIdx)};
    const Id element = builder.accumulate({.buffer = t, .site = 3}, operands);
    EXPECT_EQ(element, builder.accumulate({.buffer = t, .site = 4}, operands));
    for (int i = 0; i < times; ++i) builder.add_accumulation(element);
    builder.add_accumulation(builder.accumulate_row({.buffer_a = t, .buffer_b = t, .extent = 8, .checked = false}, operands));
    return std::move(builder).finish({}, {});
  };
  EXPECT_NE(adding(1), adding(2));
  EXPECT_EQ(simplify(adding(2)), adding(2));
  EXPECT_EQ(print(adding(2)),
            "buffer #0 : f32 rank 2\n"
            "%0 = const true : bool\n"
            "%1 = score_grad : float\n"
            "%2 = h : int\n"
            "%3 = kv_idx : int\n"
            "%4 = accumulate #0[%2, %3] += %1 if %0 checked at 3 : float\n"
            "%5 = accumulate_row #0[%2, :] += %1 * #0[%3, :] extent 8 if %0 : float\n"
            "accumulates %4\naccumulates %4\naccumulates %5\n");
}

TEST(ProgramBuilder, FinishSurvivesLongChains) {
  ProgramBuilder builder;
  Id value = builder.variable(Op::kScore);
  for (int i = 0; i < 200000; ++i) value = builder.make(Op::kNeg, {builder.make(Op::kAdd, {value, builder.const_float(1)})});
  EXPECT_EQ(std::move(builder).finish(value, {}).size(), 400002U);
}

TEST(Print, ShowsEverythingThatAProgramHolds) {
  ProgramBuilder builder;
  const std::uint32_t t = builder.add_buffer({DType::kBF16, 2});
  const std::uint32_t window = builder.add_param(Type::kInt);
  const Id guard = builder.const_bool(true);
  const Id h = builder.variable(Op::kHead);
  const Id read = builder.read({.buffer = t, .site = 2}, std::array{guard, h, builder.param(window)});
  const Id safe = builder.read({.buffer = t, .site = 2, .checked = false}, std::array{guard, h, h});
  const Id dot =
      builder.dot({.buffer_a = t, .buffer_b = t, .extent = 8, .site = 1}, std::array{guard, h, builder.param(window)});
  const Id sum =
      builder.make(Op::kAdd, {builder.make(Op::kAdd, {read, safe}), builder.make(Op::kMul, {dot, builder.const_float(1)})});
  const Program program = std::move(builder).finish(sum, {});
  EXPECT_EQ(print(program),
            "buffer #0 : bf16 rank 2\n"
            "param #0 : int\n"
            "%0 = const true : bool\n"
            "%1 = h : int\n"
            "%2 = param #0 : int\n"
            "%3 = read #0[%1, %2] if %0 checked at 2 : float\n"
            "%4 = read #0[%1, %1] if %0 : float\n"
            "%5 = add %3, %4 : float\n"
            "%6 = dot #0[%1, :] #0[%2, :] extent 8 if %0 checked at 1 : float\n"
            "%7 = const 1.0 : float\n"
            "%8 = mul %6, %7 : float\n"
            "%9 = add %5, %8 : float\n"
            "score = %9\n");
  Interface interface;
  interface.buffers.push_back({.name = "bias", .dtype = DType::kBF16, .extents = {}});
  interface.params.push_back({.name = "window", .default_value = std::int32_t{0}});
  const std::string named = print(program, interface);
  EXPECT_NE(named.find("param window : int\n"), std::string::npos);
  EXPECT_NE(named.find("read bias[%1, %2]"), std::string::npos);
}

TEST(Print, ConstantsKeepTheirValue) {
  for (float value : {0.1F, -0.0F, 1e-45F, 3.4028235e38F, 16777216.0F, 1.0F / 3.0F}) {
    ProgramBuilder builder;
    const Id constant = builder.const_float(value);
    const std::string text = print(std::move(builder).finish(constant, {}));
    const std::string literal = text.substr(text.find("const ") + 6);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(std::strtof(literal.c_str(), nullptr)), std::bit_cast<std::uint32_t>(value)) << text;
  }
}

TEST(DType, SizesNamesAndElementTypes) {
  EXPECT_EQ(size_of(DType::kF64), 8U);
  EXPECT_EQ(size_of(DType::kBF16), 2U);
  EXPECT_EQ(size_of(DType::kBool), 1U);
  EXPECT_EQ(name_of(DType::kI64), "i64");
  EXPECT_EQ(name_of(DType::kF16), "f16");
  EXPECT_EQ(element_type(DType::kU8), Type::kInt);
  EXPECT_EQ(element_type(DType::kBool), Type::kBool);
  EXPECT_EQ(element_type(DType::kF16), Type::kFloat);
}

}  // namespace
}  // namespace flexjit::ir::test
