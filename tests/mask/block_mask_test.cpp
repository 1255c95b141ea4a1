// The BlockMask value: its lists, look-ups and pictures, and what it says of shapes that cannot be.
#include "flexjit/block_mask.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <limits>

#include "support/brute_force.h"
#include "support/checklist.h"

namespace flexjit {
namespace {

std::vector<BlockKind> kinds_of(const std::string& picture) {
  std::vector<BlockKind> kinds;
  for (char c : picture) kinds.push_back(c == '#' ? BlockKind::kFull : c == '+' ? BlockKind::kPartial : BlockKind::kEmpty);
  return kinds;
}

std::vector<std::int32_t> list(std::span<const std::int32_t> values) { return {values.begin(), values.end()}; }

using List = std::vector<std::int32_t>;

TEST(BlockMask, ListsAreFlexAttentions) {
  const BlockMask mask = BlockMask::from_kinds({1, 2, 20, 30, 10, 10}, kinds_of("+# ++# # +  ")).value();
  EXPECT_EQ(list(mask.kv_num_blocks()), (List{1, 2, 0, 1}));
  EXPECT_EQ(list(mask.full_kv_num_blocks()), (List{1, 1, 1, 0}));
  EXPECT_EQ(list(mask.kv_indices(0, 0, 1)), (List{0, 1}));
  EXPECT_EQ(list(mask.full_kv_indices(0, 0, 1)), (List{2}));
  EXPECT_EQ(list(mask.full_kv_indices(0, 1, 0)), (List{1}));
  EXPECT_EQ(list(mask.kv_indices(0, 1, 1)), (List{0}));
  EXPECT_EQ(mask.counts().empty, 5);
  EXPECT_EQ(mask.counts().partial, 4);
  EXPECT_EQ(mask.counts().full, 3);
  EXPECT_DOUBLE_EQ(mask.sparsity(), 100.0 * 5 / 12);
}

TEST(BlockMask, OnePlaneServesEveryBatchAndHead) {
  covers("D46");
  const BlockMask mask = BlockMask::from_kinds({1, 2, 10, 20, 10, 10}, kinds_of("# +#")).value();
  EXPECT_EQ(mask.kind(7, 0, 0, 0), BlockKind::kFull);
  EXPECT_EQ(mask.kind(7, 1, 0, 0), BlockKind::kPartial);
  EXPECT_EQ(mask.kind(0, 2, 0, 0), BlockKind::kEmpty) << "a head that does not exist";
}

TEST(BlockMask, WhatDoesNotExistIsEmpty) {
  const BlockMask mask = BlockMask::from_kinds({2, 2, 10, 10, 10, 10}, kinds_of("##++")).value();
  EXPECT_EQ(mask.kind(0, 0, 1, 0), BlockKind::kEmpty);
  EXPECT_EQ(mask.kind(0, 0, -1, 0), BlockKind::kEmpty);
  EXPECT_EQ(mask.kind(0, 0, 0, 1), BlockKind::kEmpty);
  EXPECT_EQ(mask.kind(0, 0, 0, -1), BlockKind::kEmpty);
  EXPECT_EQ(mask.kind(-1, 0, 0, 0), BlockKind::kEmpty);
  EXPECT_EQ(mask.kind(0, 5, 0, 0), BlockKind::kEmpty);
  EXPECT_TRUE(mask.kv_indices(2, 0, 0).empty());
  EXPECT_TRUE(mask.full_kv_indices(0, 0, 9).empty());
  EXPECT_EQ(mask.to_string(5, 0), "");
}

TEST(BlockMask, NoLengthsMeansNoBlocks) {
  for (const BlockMaskShape& shape : {BlockMaskShape{1, 1, 0, 50}, BlockMaskShape{1, 1, 50, 0}, BlockMaskShape{0, 3, 5, 5}}) {
    const BlockMask mask = BlockMask::from_kinds(shape, {}).value();
    EXPECT_EQ(mask.counts().empty + mask.counts().partial + mask.counts().full, 0);
    EXPECT_EQ(mask.sparsity(), 0.0);
    EXPECT_TRUE(mask.to_dense().empty());
    EXPECT_EQ(mask.kind(0, 0, 0, 0), BlockKind::kEmpty);
  }
}

TEST(BlockMask, ShapesThatCannotBeAreDiagnosed) {
  constexpr auto kMax = std::numeric_limits<std::int32_t>::max();
  const auto kinds = kinds_of("####");
  for (const BlockMaskShape& shape :
       {BlockMaskShape{1, 1, 10, 10, 10, 10}, BlockMaskShape{1, 1, 10, 10, 0, 10}, BlockMaskShape{1, 1, 10, 10, 10, -1},
        BlockMaskShape{1, 1, -1, 10}, BlockMaskShape{-1, 1, 10, 10}, BlockMaskShape{kMax, kMax, kMax, kMax, 1, 1}}) {
    const auto result = BlockMask::from_kinds(shape, kinds);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.diagnostics().front().kind, "mask-shape");
  }
  const auto result = BlockMask::from_kinds({2, 3, 100, 200, 64, 64}, kinds);
  EXPECT_EQ(render(result.diagnostics()),
            "block_mask: error: expected 2 x 3 x 2 x 4 kinds (batch, heads, q blocks, kv blocks), got 4; q_len 100 and kv_len "
            "200 are cut into blocks of 64 x 64\n");
}

TEST(BlockMask, LargestLengthsDoNotOverflow) {
  BlockMaskShape shape{1, 1, std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::max()};
  EXPECT_EQ(shape.q_blocks(), 16777216);
  EXPECT_EQ(shape.kv_blocks(), 16777216);
}

TEST(BlockMask, PictureOfEveryBlock) {
  const BlockMask mask = BlockMask::from_kinds({1, 1, 30, 40, 10, 10}, kinds_of("+   #+   #+ ")).value();
  EXPECT_EQ(mask.to_string(), "+   \n#+  \n #+ \n");
}

TEST(BlockMask, PictureIsDownSampled) {
  const BlockMask mask = BlockMask::from_kinds({1, 1, 30, 50, 10, 10}, kinds_of("##   "
                                                                                "##+  "
                                                                                "    #"))
                             .value();
  EXPECT_EQ(mask.to_string(0, 0, 2), "+ \n +\n") << "cells of 2 x 3 blocks, the last ones smaller";
  EXPECT_EQ(mask.to_string(0, 0, 3), "#  \n#+ \n  #\n") << "cells of 1 x 2 blocks";
  EXPECT_EQ(mask.to_string(0, 0, 1), "+\n");
  EXPECT_EQ(mask.to_string(0, 0, -4), "+\n");
}

RC_GTEST_PROP(BlockMask, DenseFormGoesThereAndBack, ()) {
  BlockMaskShape shape;
  shape.batch = *rc::gen::inRange(0, 3);
  shape.heads = *rc::gen::inRange(0, 3);
  shape.q_len = *rc::gen::inRange(0, 40);
  shape.kv_len = *rc::gen::inRange(0, 60);
  shape.q_block = *rc::gen::inRange(1, 20);
  shape.kv_block = *rc::gen::inRange(1, 20);
  const auto size = static_cast<std::size_t>(shape.batch) * static_cast<std::size_t>(shape.heads) *
                    static_cast<std::size_t>(shape.q_blocks()) * static_cast<std::size_t>(shape.kv_blocks());
  const auto kinds = *rc::gen::container<std::vector<BlockKind>>(
      size, rc::gen::element(BlockKind::kEmpty, BlockKind::kPartial, BlockKind::kFull));
  const BlockMask mask = BlockMask::from_kinds(shape, kinds).value();
  RC_ASSERT(mask.to_dense() == kinds);
  auto expected = kinds.begin();
  for (int b = 0; b < shape.batch; ++b) {
    for (int h = 0; h < shape.heads; ++h) {
      for (int q = 0; q < shape.q_blocks(); ++q) {
        for (int kv = 0; kv < shape.kv_blocks(); ++kv) RC_ASSERT(mask.kind(b, h, q, kv) == *expected++);
      }
    }
  }
}

}  // namespace
}  // namespace flexjit
