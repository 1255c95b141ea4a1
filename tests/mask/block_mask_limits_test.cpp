// Sizes at the end of what an int holds: block masks are either right or refused at once.
#include <gtest/gtest.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>
#include <limits>

#include "flexjit/block_mask.h"

namespace flexjit {
namespace {

constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max(), kHuge = 1 << 30;
constexpr auto kE = BlockKind::kEmpty, kP = BlockKind::kPartial, kF = BlockKind::kFull;

BlockMask mask_of(const BlockMaskShape& shape, const std::vector<BlockKind>& kinds) {
  return BlockMask::from_kinds(shape, kinds).value();
}

TEST(BlockMaskLimits, SlicesOfTheLargestBlocks) {
  for (BlockKind kind : {kE, kP, kF}) {
    const BlockMask mask = mask_of({1, 1, 10, 10, kMost, kMost}, {kind});
    for (PositionRange q : {PositionRange{0, 10}, {2, 10}, {9, 10}}) {
      for (PositionRange kv : {PositionRange{0, 10}, {3, 10}, {9, 10}})
        EXPECT_EQ(mask.slice(q, kv).value().to_dense(), std::vector<BlockKind>{kind});
    }
    EXPECT_TRUE(mask.slice({2, 2}, {0, 10}).value().to_dense().empty());
    EXPECT_EQ(mask.transpose().to_dense(), std::vector<BlockKind>{kind});
    EXPECT_EQ(mask.intersect(mask).value().to_dense(), std::vector<BlockKind>{kind});
    EXPECT_EQ(mask.complement().complement().to_dense(), std::vector<BlockKind>{kind});
    EXPECT_EQ(BlockMask::from_bytes(mask.to_bytes()).value().to_dense(), std::vector<BlockKind>{kind});
  }
}

TEST(BlockMaskLimits, SlicesOfTheLargestLengths) {
  // Two blocks a side; the second ends with the length, beyond which 32 bits wrap.
  const BlockMask mask = mask_of({1, 1, kMost, kMost, kHuge, kHuge}, {kF, kE, kP, kF});
  EXPECT_EQ(mask.slice({kHuge, kMost}, {kHuge, kMost}).value().to_dense(), std::vector<BlockKind>{kF});
  EXPECT_EQ(mask.slice({kHuge + 5, kMost}, {0, kHuge}).value().to_dense(), std::vector<BlockKind>{kP});
  EXPECT_EQ(mask.slice({1, kMost}, {1, kMost}).value().to_dense(), (std::vector<BlockKind>{kP, kP, kP, kF}));
  EXPECT_EQ(mask.slice({0, 1}, {kHuge - 1, kHuge + 1}).value().to_dense(), std::vector<BlockKind>{kP});
}

TEST(BlockMaskLimits, EveryWayRefusesShapesBeyondThem) {
  for (const BlockMaskShape& shape :
       {BlockMaskShape{kHuge, kHuge, 0, 0, 1, 1}, BlockMaskShape{kHuge, 1, 0, 7, 1, 1},
        BlockMaskShape{kMost, kMost, 1, 1, 1, 1}, BlockMaskShape{1, 1, kMost, 1, 1, 1}, BlockMaskShape{1, 1, 1, kMost, 1, 1},
        BlockMaskShape{1 << 20, 1, 1, 1 << 20, 1, 1}, BlockMaskShape{kMost, 1, kMost, kMost, 1, 1}}) {
    EXPECT_EQ(BlockMask::from_kinds(shape, {}).diagnostics().front().kind, "mask-shape");
    EXPECT_EQ(BlockMask::from_lists(shape, {}, {}).diagnostics().front().kind, "mask-shape");
    EXPECT_EQ(BlockMask::from_bsr(shape, {}).diagnostics().front().kind, "mask-shape");
  }
}

// With a right checksum, as a file may claim.
std::vector<std::uint8_t> bytes_with(const BlockMaskShape& shape) {
  std::vector<std::uint8_t> bytes = mask_of({1, 1, 1, 1, 1, 1}, {kF}).to_bytes();
  std::memcpy(bytes.data() + 12, &shape, sizeof(shape));
  const std::uint64_t checksum = XXH3_64bits(bytes.data(), bytes.size() - 8);
  std::memcpy(bytes.data() + bytes.size() - 8, &checksum, 8);
  return bytes;
}

TEST(BlockMaskLimits, BytesThatClaimThemAreDamaged) {
  EXPECT_TRUE(BlockMask::from_bytes(bytes_with({1, 1, 1, 1, 1, 1})).has_value()) << "the checksum is right";
  for (const BlockMaskShape& shape :
       {BlockMaskShape{kHuge, kHuge, 0, 0, 1, 1}, BlockMaskShape{kHuge, kHuge, kHuge, kHuge, 1, 1},
        BlockMaskShape{1, 1, 1 << 26, 1, 1, 1}, BlockMaskShape{1 << 26, 1, 1, 1, 1, 1}, BlockMaskShape{1, 1, 1, kMost, 1, 1}}) {
    EXPECT_EQ(BlockMask::from_bytes(bytes_with(shape)).diagnostics().front().kind, "mask-bytes");
  }
}

TEST(BlockMaskLimits, PlanesTogetherMayBeTooMany) {
  // Nothing in either takes much room; together they are 2^30 planes.
  const BlockMask batch = BlockMask::from_lists({1 << 15, 1, 1, 1, 1, 1}, {}, {}).value();
  const BlockMask heads = BlockMask::from_lists({1, 1 << 15, 1, 1, 1, 1}, {}, {}).value();
  EXPECT_EQ(batch.intersect(heads).diagnostics().front().kind, "mask-shape");
  EXPECT_EQ(batch.unite(heads).diagnostics().front().kind, "mask-shape");
}

TEST(BlockMaskLimits, ElementsOfBlocksAreCountedWithoutWrapping) {
  const std::vector<std::int32_t> indptr = {0, 16}, indices(16, 0);
  const std::vector<std::uint8_t> none(1, 1);
  // 16 blocks of 2^60 elements: 0 modulo 2^64.
  EXPECT_FALSE(BlockMask::from_bsr({1, 1, 1, 1, kHuge, kHuge}, {indptr, indices, none}).has_value());
}

// A thousand rows of a million columns with a run or two each: block by block this would be 2^30 steps an operation.
TEST(BlockMaskLimits, TimeGrowsWithTheRuns) {
  constexpr std::int32_t kRows = 1 << 10, kColumns = 1 << 20;
  const std::vector<std::int32_t> counts(kRows, 1), indices(kRows, 0);
  const BlockMask one = BlockMask::from_lists({1, 1, kRows, kColumns, 1, 1}, {counts, indices, 1}, {}).value();
  const BlockMask rest = one.complement();
  EXPECT_EQ(rest.counts().full, (std::int64_t{kRows} << 20) - kRows);
  EXPECT_EQ(rest.counts().partial, kRows);
  EXPECT_EQ(rest.unite(one).value().counts().full, rest.counts().full);
  EXPECT_EQ(rest.intersect(one).value().counts().partial, kRows);
  EXPECT_EQ(rest.slice({1, kRows}, {1, kColumns}).value().counts().partial, 0);
  EXPECT_EQ(one.slice({1, kRows}, {1, kColumns}).value().counts().partial, 0);
}

}  // namespace
}  // namespace flexjit
