// The decode kernel and its launcher against attention written down: row counts, dims, lengths, dtypes, layouts, splits,
// patterns that vary by head, masks, faults; and what must hold of its code.
#include <gtest/gtest.h>

#include <algorithm>

#include "decode_problem.h"
#include "jit/listing/list_code.h"
#include "jit/object/compile.h"
#include "listing_checks.h"
#include "support/sample.h"

namespace flexjit::test {
namespace {

using ir::Id;
using ir::Op;
using test::Position;

constexpr double kTolerance = 1e-5;
constexpr double kPairTolerance = 0x1p-8;  // weights rounded to bf16

// Of out, lse and max_scores; out is rounded to its dtype.
test::Bounds bounds_of(const DecodeCase& c, const plan::Target& target) {
  const double rounding = c.types.out == DType::kBF16 ? 0x1p-8 : c.types.out == DType::kF16 ? 0x1p-10 : 0;
  const bool pairs = plan::arithmetic_of(c.types, target) == plan::Arithmetic::kBF16;
  const double tolerance = pairs ? kPairTolerance : kTolerance;
  return {test::near(tolerance + rounding), test::near(tolerance), test::near(tolerance)};
}

// On every target with 1 to 3 threads: close to the oracle, and the same bits for every thread count.
void check(const DecodeCase& c, const DecodePattern& pattern = plain(), const BlockMask* mask = nullptr) {
  SCOPED_TRACE(to_string(c));
  const test::OracleResult expected = DecodeProblem(c).expected(pattern);
  for (const plan::Target& target : executable_targets()) {
    SCOPED_TRACE(plan::name_of(target));
    DecodeProblem problem(c);
    EXPECT_FALSE(problem.run(pattern, target, 1, mask).fault.has_value());
    EXPECT_TRUE(agrees(problem.tensors, expected, bounds_of(c, target)));
    const test::Problem one = problem.tensors;
    for (int threads : {2, 3}) {
      problem.run(pattern, target, threads, mask);
      EXPECT_TRUE(outputs_identical(problem.tensors, one)) << threads << " threads";
    }
  }
}

constexpr DType kFloat = DType::kF32, kHalf = DType::kF16, kBrain = DType::kBF16;

TEST(Decode, RowsOfEveryCount) {
  for (int group : {1, 2, 4, 7, 8})
    for (int q_len : {1, 2, 3, 4})
      check({.kv_heads = 1, .group = group, .q_len = q_len, .kv_len = 50, .head_dim = 40, .v_head_dim = 24});
}

TEST(Decode, MoreRowsThanOneItemTakes) { check({.group = 13, .q_len = 5, .kv_len = 70, .head_dim = 16, .v_head_dim = 16}); }

TEST(Decode, DimsOfEveryRemainder) {
  test::Sample sample;
  for (int dim : {1, 3, 17, 20, 40, 64, 130, 256})
    for (int v_dim : {dim, 72})
      if (sample.next()) check({.group = 3, .kv_len = 33, .head_dim = dim, .v_head_dim = v_dim});
}

TEST(Decode, DTypes) {
  test::Sample sample;
  for (plan::ElementTypes types : {plan::ElementTypes{kBrain, kBrain, kBrain},
                                   {kBrain, kBrain, kFloat},
                                   {kHalf, kHalf, kHalf},
                                   {kHalf, kHalf, kFloat},
                                   {kFloat, kBrain, kFloat},
                                   {kFloat, kHalf, kFloat}})
    for (int dim : {128, 40, 33, 1})
      if (sample.next()) check({.group = 4, .kv_len = 100, .head_dim = dim, .v_head_dim = dim, .types = types});
}

TEST(Decode, LengthsAcrossSteps) {
  for (int kv_len : {1, 2, 15, 16, 17, 31, 63, 64, 65, 511, 512, 513})
    check({.batch = 2, .group = 2, .kv_len = kv_len, .head_dim = 8, .v_head_dim = 8});
}

TEST(Decode, SeveralSplits) {
  for (int kv_len : {1025, 4095, 4096, 10000})
    check({.kv_heads = 1, .group = 3, .q_len = 2, .kv_len = kv_len, .head_dim = 16, .v_head_dim = 16, .sinks = true});
}

TEST(Decode, Layouts) {
  for (Order order : {Order::kHeadsFirst, Order::kLengthFirst})
    for (int gap : {0, 3})
      for (DType type : {kFloat, kBrain})
        check({.batch = 2,
               .kv_heads = 3,
               .group = 2,
               .q_len = 2,
               .kv_len = 45,
               .head_dim = 20,
               .v_head_dim = 36,
               .types = {type, type, kFloat},
               .order = order,
               .gap = gap});
}

TEST(Decode, Sinks) { check({.group = 5, .q_len = 2, .kv_len = 80, .sinks = true}); }

TEST(Decode, Sigmoid) {
  check({.group = 3, .q_len = 2, .kv_len = 700, .head_dim = 24, .v_head_dim = 40, .weights = plan::Weights::kSigmoid});
}

// score - slope[h] * (q_idx - kv_idx) under q_idx + shift >= kv_idx: slope and shift vary by row of an item.
DecodePattern by_head(const std::vector<float>& slope, bool checked) {
  ir::ProgramBuilder b;
  const std::uint32_t buffer = b.add_buffer({DType::kF32, 1});
  const Id operands[] = {b.const_bool(true), b.variable(Op::kHead)};
  const Id distance = b.make(Op::kSub, {b.variable(Op::kQIdx), b.variable(Op::kKvIdx)});
  const Id bias = b.make(Op::kMul, {b.read({buffer, 0, checked}, operands), b.make(Op::kIntToFloat, {distance})});
  const Id score = b.make(Op::kSub, {b.variable(Op::kScore), bias});
  const Id last = b.make(Op::kAdd, {b.variable(Op::kQIdx), b.make(Op::kMul, {b.variable(Op::kHead), b.const_int(9)})});
  const Id mask = b.make(Op::kGe, {last, b.variable(Op::kKvIdx)});
  DecodePattern pattern{.program = std::move(b).finish(score, mask), .buffers = {}};
  pattern.exact.score = [slope](double s, const Position& p) {
    const auto h = static_cast<std::size_t>(p.h);
    return s - (h < slope.size() ? double{slope[h]} : 0.0) * (p.q_idx - p.kv_idx);
  };
  pattern.exact.mask = [](const Position& p) { return p.q_idx + 9 * p.h >= p.kv_idx; };
  return pattern;
}

plan::BufferArg vector_of(const std::vector<float>& values) {
  return {values.data(), {static_cast<std::int64_t>(values.size())}, {1}};
}

TEST(Decode, PatternsThatVaryByHead) {
  const std::vector<float> slope = {0.01F, -0.02F, 0.03F, 0.3F, 0.0F, 0.002F, 0.1F, -0.1F};
  DecodePattern pattern = by_head(slope, true);
  pattern.buffers = {vector_of(slope)};
  check({.batch = 2, .kv_heads = 2, .group = 4, .q_len = 3, .kv_len = 77, .head_dim = 32, .v_head_dim = 32}, pattern);
}

TEST(Decode, ReadsOutOfRangeAreReported) {
  const std::vector<float> slope = {0.01F, -0.02F};
  DecodePattern pattern = by_head(slope, true);
  pattern.buffers = {vector_of(slope)};
  for (const plan::Target& target : executable_targets()) {
    for (int threads : {1, 3}) {
      DecodeProblem problem({.kv_heads = 2, .group = 2, .q_len = 2, .kv_len = 2000, .head_dim = 8, .v_head_dim = 8});
      const runtime::LaunchOutcome outcome = problem.run(pattern, target, threads);
      ASSERT_TRUE(outcome.fault.has_value());
      EXPECT_EQ(outcome.fault->index, 2);
      EXPECT_EQ(outcome.fault->dimension, 0);
    }
  }
}

// mask[kv_idx % 64]-like: a column value that is read, and rows that allow nothing.
TEST(Decode, RowsWithoutAnyKey) {
  ir::ProgramBuilder b;
  const Id mask = b.make(Op::kGt, {b.variable(Op::kQIdx), b.variable(Op::kKvIdx)});
  DecodePattern pattern{.program = std::move(b).finish(Id{}, mask), .buffers = {}};
  pattern.exact.mask = [](const Position& p) { return p.q_idx > p.kv_idx; };
  check({.group = 3, .q_len = 3, .kv_len = 40, .sinks = false}, pattern);
  check({.group = 3, .q_len = 3, .kv_len = 40, .sinks = true}, pattern);
}

TEST(Decode, ReadsOnlyTheColumnsOfTheBlockMask) {
  const BlockMaskShape shape{.q_len = 2, .kv_len = 3000, .q_block = 2, .kv_block = 100};
  std::vector<BlockKind> kinds(30, BlockKind::kEmpty);
  for (std::size_t i : {3U, 4U, 17U, 29U}) kinds[i] = BlockKind::kFull;
  kinds[5] = BlockKind::kPartial;
  const BlockMask mask = BlockMask::from_kinds(shape, kinds).value();
  ir::ProgramBuilder b;
  const Id even = b.make(Op::kEq, {b.make(Op::kMod, {b.variable(Op::kKvIdx), b.const_int(2)}), b.const_int(0)});
  DecodePattern pattern{.program = std::move(b).finish(Id{}, even), .buffers = {}};
  pattern.exact.mask = [&](const Position& p) {
    const BlockKind kind = kinds[static_cast<std::size_t>(p.kv_idx / 100)];
    return kind == BlockKind::kFull || (kind == BlockKind::kPartial && p.kv_idx % 2 == 0);
  };
  const DecodeCase c{.kv_heads = 2, .group = 2, .q_len = 2, .kv_len = 3000, .head_dim = 16, .v_head_dim = 16};
  DecodeProblem problem(c);
  EXPECT_EQ(problem.run(pattern, plan::host_target(), 1, &mask).scores_visited, 8 * 500);
}

// A full span lets everything through only where whole steps lie in it; its ends are masked spans with exact bounds, where
// mask_mod decides.
TEST(Decode, BlockMaskWithoutMaskModIsExact) {
  const BlockMaskShape shape{.batch = 2, .heads = 1, .q_len = 2, .kv_len = 3000, .q_block = 2, .kv_block = 100};
  std::vector<BlockKind> kinds(60, BlockKind::kEmpty);
  for (std::size_t i : {3U, 4U, 17U, 29U, 30U, 47U}) kinds[i] = BlockKind::kFull;
  const BlockMask mask = BlockMask::from_kinds(shape, kinds).value();
  DecodePattern pattern = plain();
  pattern.exact.mask = [&](const Position& p) {
    return kinds[static_cast<std::size_t>(30 * p.b + p.kv_idx / 100)] == BlockKind::kFull;
  };
  check({.batch = 2, .group = 2, .q_len = 2, .kv_len = 3000, .head_dim = 16, .v_head_dim = 16}, pattern, &mask);
}

// A sequence gets the same bits alone and in a batch.
TEST(Decode, DoesNotDependOnTheBatch) {
  const DecodeCase two{.batch = 2, .group = 2, .kv_len = 3000, .head_dim = 16, .v_head_dim = 16};
  DecodeProblem whole(two), alone(two);
  whole.run(plain(), plan::host_target(), 2);
  alone.c.batch = 1;
  alone.run(plain(), plan::host_target(), 2);
  const auto rows = static_cast<std::ptrdiff_t>(two.q_heads());
  EXPECT_TRUE(std::equal(whole.tensors.lse.begin(), whole.tensors.lse.begin() + rows, alone.tensors.lse.begin()));
}

class DecodeCode : public ::testing::TestWithParam<const char*> {};

// No call, and no stack in the loops that read K and V but for one of the outer loops' registers.
TEST_P(DecodeCode, IsClosedAndDoesNotSpill) {
  for (DType type : {kFloat, kBrain, kHalf}) {
    // Without instructions for them, conversions alone take the registers of these targets.
    const bool emulated = type != kFloat && (GetParam() == std::string("x86-64") || GetParam() == std::string("x86-64-v2"));
    plan::KernelRequest request;
    request.program = plain().program;
    request.nest = plan::Nest::kDecode;
    request.types = {type, type, type};
    request.head_dim = request.v_head_dim = 128;
    const plan::KernelKey key = plan::plan_kernel(request, plan::parse_target(GetParam()).value());
    ASSERT_EQ(jit::compile(key).value().bytes, jit::compile(key).value().bytes);
    const plan::CodeListing listing = jit::list_code(key, plan::Costs::kNone).value();
    expect_no_calls(listing);
    if (!emulated) expect_loops_in_registers(listing, {"qk", "pv"}, 2);
  }
}

INSTANTIATE_TEST_SUITE_P(All, DecodeCode,
                         ::testing::Values("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16", "aarch64"),
                         [](const auto& test) {
                           std::string name(test.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace flexjit::test
