// Classification against any and all by looking at every pair, for the kinds of masks that people write.
#include "mask/derive/classify.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cstdlib>
#include <utility>

#include "expression.h"
#include "patterns.h"

namespace flexjit {
namespace {

using mask::Classified;
using mask::Undecided;
using test::Expression;
using test::MaskPattern;
using test::Names;

constexpr int kBatch = 2, kHeads = 4;

std::vector<MaskPattern> patterns_at(int q_len, int kv_len) {
  using namespace test;
  std::vector<MaskPattern> patterns;
  for (bool allowed : {false, true}) patterns.push_back(everything(allowed));
  patterns.push_back(causal());
  patterns.push_back(causal_window(20));
  patterns.push_back(window(30, 9));
  patterns.push_back(attamba(8, 8));
  patterns.push_back(longformer(10));
  patterns.push_back(documents(q_len, kv_len));
  patterns.push_back(window_by_head(kHeads));
  patterns.push_back(prefix_by_batch(kBatch));
  patterns.push_back(kv_head_parity());
  patterns.push_back(swin(14, 7, 3));
  patterns.push_back(neighbourhood(12, 2));
  patterns.push_back(natten(12, 5));
  return patterns;
}

BlockMaskShape broadcast(const MaskPattern& pattern, BlockMaskShape shape) {
  if (!pattern.by_batch) shape.batch = 1;
  if (!pattern.by_head) shape.heads = 1;
  return shape;
}

void check(const MaskPattern& pattern, const BlockMaskShape& shape) {
  SCOPED_TRACE(pattern.name + ", blocks of " + std::to_string(shape.q_block) + " x " + std::to_string(shape.kv_block));
  const Classified classified = mask::classify(pattern.program, pattern.environment(shape), {.shape = shape});
  ASSERT_TRUE(classified.mask.has_value());
  const BlockMaskShape expected = broadcast(pattern, shape);
  EXPECT_EQ(classified.mask->shape(), expected);
  EXPECT_EQ(classified.mask->to_dense(), test::brute_force_kinds(expected, pattern.allowed));
  const BlockCounts counts = classified.mask->counts();
  // What is full or empty was either proved as a block or by evaluating some of its elements.
  EXPECT_LE(classified.proved, counts.empty + counts.full);
  EXPECT_GE(classified.proved + classified.evaluated, counts.empty + counts.full);
}

TEST(Classify, EqualsALookAtEveryPair) {
  for (auto [q_len, kv_len] : {std::pair{0, 5}, {5, 0}, {0, 0}, {1, 1}, {17, 17}, {130, 197}, {196, 196}}) {
    SCOPED_TRACE(std::to_string(q_len) + " x " + std::to_string(kv_len));
    for (const MaskPattern& pattern : patterns_at(q_len, kv_len)) {
      for (auto [q_block, kv_block] : {std::pair{16, 16}, {64, 64}, {64, 128}, {1, 33}, {500, 7}, {300, 300}}) {
        check(pattern, {kBatch, kHeads, q_len, kv_len, q_block, kv_block});
      }
    }
  }
}

TEST(Classify, LeavesPartialWithoutEvaluating) {
  for (const MaskPattern& pattern : patterns_at(130, 197)) {
    SCOPED_TRACE(pattern.name);
    const BlockMaskShape shape{kBatch, kHeads, 130, 197, 16, 16};
    const auto classified =
        mask::classify(pattern.program, pattern.environment(shape), {.shape = shape, .undecided = Undecided::kLeavePartial});
    EXPECT_EQ(classified.evaluated, 0);
    const auto exact = test::brute_force_kinds(broadcast(pattern, shape), pattern.allowed);
    const auto found = classified.mask->to_dense();
    ASSERT_EQ(found.size(), exact.size());
    for (std::size_t i = 0; i < exact.size(); ++i) {
      if (found[i] == BlockKind::kPartial) continue;
      ASSERT_EQ(found[i], exact[i]) << "a decided block must be right, block " << i;
    }
  }
}

TEST(Classify, IntervalsDecideMostBlocksOfABand) {
  const MaskPattern pattern = test::causal_window(64);
  const BlockMaskShape shape{1, 1, 1 << 16, 1 << 16, 128, 128};
  const auto classified = mask::classify(pattern.program, pattern.environment(shape), {.shape = shape});
  // 512 x 512 blocks; even those on the two diagonals are partial by proof.
  EXPECT_EQ(classified.evaluated, 0);
  EXPECT_EQ(classified.mask->counts().partial, 512 + 511);
}

TEST(Classify, DocumentIdsDecideBlocks) {
  const MaskPattern pattern = test::documents(1 << 12, 1 << 12);
  const BlockMaskShape shape{1, 1, 1 << 12, 1 << 12, 128, 128};
  const auto classified = mask::classify(pattern.program, pattern.environment(shape), {.shape = shape});
  EXPECT_EQ(classified.mask->to_dense(), test::brute_force_kinds(shape, pattern.allowed));
  EXPECT_EQ(classified.evaluated, 0);
}

TEST(Classify, NoMaskIsAllFull) {
  const ir::Program program = ir::ProgramBuilder().finish({}, {});
  const BlockMaskShape shape{3, 4, 100, 200, 16, 32};
  const auto classified = mask::classify(program, {.q_len = 100, .kv_len = 200, .buffers = {}, .params = {}}, {.shape = shape});
  EXPECT_EQ(classified.mask->shape(), (BlockMaskShape{1, 1, 100, 200, 16, 32}));
  EXPECT_EQ(classified.mask->counts().full, 7 * 7);
}

TEST(Classify, OnlyWhatTheMaskReadsNeedsPlanes) {
  const BlockMaskShape wanted{3, 4, 10, 10, 16, 16};
  {
    Names n;
    const Expression mask = n.q < n.variable(ir::Op::kNumHeads) + n.variable(ir::Op::kBatchSize);
    EXPECT_EQ(mask::broadcast_shape(std::move(n).mask(mask), wanted), (BlockMaskShape{1, 1, 10, 10, 16, 16}));
  }
  {
    Names n;
    const std::uint32_t buffer = n.builder.add_buffer({DType::kI32, 2});
    const Expression mask = n.read(buffer, {n.b, n.kv}) == n.q;
    EXPECT_EQ(mask::broadcast_shape(std::move(n).mask(mask), wanted), (BlockMaskShape{3, 1, 10, 10, 16, 16}));
  }
  {
    Names n;  // the score reads h, the mask does not
    const Expression score = {&n.builder, n.builder.make(ir::Op::kIntToFloat, {n.h.id})};
    const ir::Program program = std::move(n.builder).finish(score.id, (n.q >= n.kv).id);
    EXPECT_EQ(mask::broadcast_shape(program, wanted), (BlockMaskShape{1, 1, 10, 10, 16, 16}));
  }
}

// Reads outside a buffer must reach whoever evaluates the mask, so intervals never decide them away.
TEST(Classify, ReportsTheFirstFaultInRowOrder) {
  Names n;
  const std::uint32_t buffer = n.builder.add_buffer({DType::kI32, 1});
  // Outside where q + kv >= 70, first at q 7, kv 63; the descent meets q 39, kv 31 before it.
  const Expression index = select(n.q + n.kv >= 70, n.q + 1000, literal(n.q, 0));
  const ir::Program program = std::move(n).mask(n.read(buffer, {index}) >= 1);
  const std::vector<std::int32_t> zeros(100, 0);
  const TensorView view(zeros.data(), DType::kI32, {100});
  const ir::Environment environment{.q_len = 64, .kv_len = 64, .buffers = std::span(&view, 1), .params = {}};
  const auto classified = mask::classify(program, environment, {.shape = {1, 1, 64, 64, 16, 16}});
  ASSERT_TRUE(classified.fault.has_value());
  EXPECT_FALSE(classified.mask.has_value());
  EXPECT_EQ(classified.fault->index, 1007);
  const auto proved =
      mask::classify(program, environment, {.shape = {1, 1, 64, 64, 16, 16}, .undecided = Undecided::kLeavePartial});
  ASSERT_TRUE(proved.mask.has_value());
  EXPECT_EQ(proved.mask->kind(0, 0, 0, 0), BlockKind::kEmpty);
  EXPECT_EQ(proved.mask->kind(0, 0, 3, 3), BlockKind::kPartial) << "the kernel meets the read and reports it";
}

TEST(Classify, GuardedReadsAreNoFaults) {
  Names n;
  const std::uint32_t buffer = n.builder.add_buffer({DType::kI32, 1});
  const Expression inside = n.kv < 10;
  const ir::Program program = std::move(n).mask(inside & (n.read_guarded(buffer, inside, {n.kv}) >= 1));
  const std::vector<std::int32_t> ones(10, 1);
  const TensorView view(ones.data(), DType::kI32, {10});
  const ir::Environment environment{.q_len = 64, .kv_len = 64, .buffers = std::span(&view, 1), .params = {}};
  const BlockMaskShape shape{1, 1, 64, 64, 4, 4};
  const auto classified = mask::classify(program, environment, {.shape = shape});
  ASSERT_TRUE(classified.mask.has_value());
  EXPECT_EQ(classified.mask->to_dense(), test::brute_force_kinds(shape, [](int, int, int, int kv) { return kv < 10; }));
}

// Bands with random slopes, offsets and moduli at random shapes.
RC_GTEST_PROP(Classify, RandomBands, ()) {
  Names n;
  const int a = *rc::gen::inRange(-3, 4), c = *rc::gen::inRange(-3, 4), offset = *rc::gen::inRange(-50, 50);
  const int width = *rc::gen::inRange(0, 60), modulus = *rc::gen::inRange(1, 9), rest = *rc::gen::inRange(0, 9);
  const Expression line = n.q * a + n.kv * c + offset;
  const bool either = *rc::gen::arbitrary<bool>();
  const Expression band = abs(line) <= width, stripe = line % modulus == rest;
  MaskPattern pattern;
  pattern.program = std::move(n).mask(either ? band | stripe : band & stripe);
  pattern.allowed = [=](int, int, int q, int kv) {
    const int value = q * a + kv * c + offset;
    const bool in_band = std::abs(value) <= width, in_stripe = ((value % modulus) + modulus) % modulus == rest;
    return either ? in_band || in_stripe : in_band && in_stripe;
  };
  BlockMaskShape shape;
  shape.q_len = *rc::gen::inRange(0, 90);
  shape.kv_len = *rc::gen::inRange(0, 90);
  shape.q_block = *rc::gen::inRange(1, 30);
  shape.kv_block = *rc::gen::inRange(1, 30);
  const auto classified = mask::classify(pattern.program, pattern.environment(shape), {.shape = shape});
  RC_ASSERT(classified.mask.has_value());
  RC_ASSERT(classified.mask->to_dense() == test::brute_force_kinds(shape, pattern.allowed));
}

}  // namespace
}  // namespace flexjit
