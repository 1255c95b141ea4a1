// Masks that are costly to derive: exact against a look at every pair, sound under every budget, and within a bound of work
// that grows with what the mask holds and not with the pairs.
#include "hard_masks.h"

#include <gtest/gtest.h>

#include <utility>

#include "mask/derive/classify.h"

namespace flexjit {
namespace {

using mask::Classified;
using mask::Undecided;
using test::HardMask;

BlockMaskShape square(const HardMask& mask, std::int32_t length, std::int32_t q_block, std::int32_t kv_block) {
  return {mask.by_batch ? 2 : 1, 1, length, length, q_block, kv_block};
}

TEST(HardMasks, EqualALookAtEveryPair) {
  // 521 is no multiple of a block; blocks of 4 are so many that rows are copied where a mask repeats.
  for (int length : {97, 384, 521}) {
    for (const HardMask& mask : test::hard_masks(length)) {
      for (auto [q_block, kv_block] : {std::pair{4, 4}, {16, 16}, {64, 64}, {8, 32}, {100, 33}, {300, 300}}) {
        SCOPED_TRACE(mask.name + " at " + std::to_string(length) + ", blocks of " + std::to_string(q_block) + " x " +
                     std::to_string(kv_block));
        const BlockMaskShape shape = square(mask, length, q_block, kv_block);
        const Classified found =
            mask::classify(mask.program, mask.environment(shape), {.shape = shape, .list_evaluated = true});
        ASSERT_TRUE(found.mask.has_value()) << mask.text;
        ASSERT_EQ(found.mask->to_dense(), test::brute_force_kinds(shape, mask.allowed)) << mask.text;
        const BlockCounts counts = found.mask->counts();
        EXPECT_LE(found.proved, counts.full + counts.empty);
        EXPECT_GE(found.proved + found.evaluated, counts.full + counts.empty);
        EXPECT_EQ(static_cast<std::int64_t>(found.evaluated_blocks.size()), found.evaluated);
      }
    }
  }
}

// What a call derives for itself: never wrong, whatever the budget, and never far beyond it.
TEST(HardMasks, AreSoundUnderEveryBudget) {
  const int length = 521;
  for (const HardMask& mask : test::hard_masks(length)) {
    const BlockMaskShape shape = square(mask, length, 16, 16);
    const auto exact = test::brute_force_kinds(shape, mask.allowed);
    std::int64_t partial_before = 0;
    for (std::int64_t budget : {std::int64_t{1} << 40, std::int64_t{30000}, std::int64_t{3000}, std::int64_t{0}}) {
      SCOPED_TRACE(mask.name + " with " + std::to_string(budget));
      const mask::ClassifyRequest request{.shape = shape, .undecided = Undecided::kDecideCheap, .budget = budget};
      const Classified found = mask::classify(mask.program, mask.environment(shape), request);
      ASSERT_TRUE(found.mask.has_value());
      const auto kinds = found.mask->to_dense();
      ASSERT_EQ(kinds.size(), exact.size());
      for (std::size_t i = 0; i < kinds.size(); ++i) {
        if (kinds[i] == BlockKind::kPartial) continue;
        ASSERT_EQ(kinds[i], exact[i]) << "block " << i;
      }
      EXPECT_GE(found.mask->counts().partial, partial_before) << "less budget cannot decide more";
      partial_before = found.mask->counts().partial;
      // A box or a block that was begun is finished; a plane's own start counts as well.
      EXPECT_LE(found.work, shape.batch * (budget + 3000));
      const Classified again = mask::classify(mask.program, mask.environment(shape), request);
      EXPECT_EQ(again.mask->to_bytes(), found.mask->to_bytes());
      EXPECT_EQ(again.work, found.work);
    }
    EXPECT_EQ(partial_before, static_cast<std::int64_t>(exact.size())) << "nothing is decided for nothing";
  }
}

struct Bound {
  HardMask mask;
  std::int32_t length;
  std::int64_t nodes_a_line;  // analysed for each row and column of blocks of 128
};

TEST(HardMasks, TakeWorkByTheLineOfBlocks) {
  for (const Bound& test :
       {Bound{test::window_3d(128, 32, 32), 1 << 17, 1500}, Bound{test::window_3d(8, 32, 32), 1 << 17, 1500},
        Bound{test::stripes(256, 1024, 1000), 1 << 17, 300}, Bound{test::strided(100), 1 << 17, 600},
        Bound{test::position_reset(1 << 17, 1300), 1 << 17, 1500}}) {
    const BlockMaskShape shape{1, 1, test.length, test.length, 128, 128};
    const Classified found = mask::classify(test.mask.program, test.mask.environment(shape), {.shape = shape});
    ASSERT_TRUE(found.mask.has_value());
    const std::int64_t lines = std::int64_t{shape.q_blocks()} + shape.kv_blocks();
    EXPECT_LE(found.work / lines, test.nodes_a_line) << test.mask.name;
    EXPECT_GT(found.mask->counts().partial, 0);
  }
}

// A table of all positions may not be made where some are outside the buffer: what is read there decides nothing, or is
// reported as ever.
TEST(HardMasks, KeepFaultsWhereATableWouldBeMade) {
  HardMask mask = test::position_reset(200, 20);
  const BlockMaskShape shape{1, 1, 200, 300, 16, 16};  // pos ends at 200
  const Classified guarded = mask::classify(mask.program, mask.environment(shape), {.shape = shape});
  ASSERT_TRUE(guarded.mask.has_value()) << "no query is behind a key from 200 on";
  EXPECT_EQ(guarded.mask->to_dense(), test::brute_force_kinds(shape, mask.allowed));
  const HardMask open = test::unguarded_position_reset(200, 20);
  const Classified faulty = mask::classify(open.program, open.environment(shape), {.shape = shape});
  ASSERT_TRUE(faulty.fault.has_value());
  EXPECT_EQ(faulty.fault->index, 200);
}

}  // namespace
}  // namespace flexjit
