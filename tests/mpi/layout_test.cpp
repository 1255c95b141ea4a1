// Dealing, needs and masks of shards, against loops over all blocks.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "flexjit/mpi/layout.h"
#include "support/brute_force.h"
#include "support/checklist.h"

namespace flexjit::mpi {
namespace {

BlockMask mask_of(std::int32_t length, std::int32_t block, const test::Allowed& allowed) {
  return test::brute_force_mask({.q_len = length, .kv_len = length, .q_block = block, .kv_block = block}, allowed);
}

bool causal(int, int, int q, int kv) { return q >= kv; }

// All that any dealing keeps: every block has one owner, counts are equal, lists ascend.
void expect_dealt(const Layout& layout, std::int32_t blocks) {
  std::vector<std::int32_t> all;
  std::size_t fewest = layout.blocks[0].size(), most = fewest;
  for (const auto& mine : layout.blocks) {
    EXPECT_TRUE(std::ranges::is_sorted(mine));
    fewest = std::min(fewest, mine.size());
    most = std::max(most, mine.size());
    all.insert(all.end(), mine.begin(), mine.end());
  }
  EXPECT_LE(most - fewest, 1U);
  std::ranges::sort(all);
  std::vector<std::int32_t> expected(static_cast<std::size_t>(blocks));
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(all, expected);
}

TEST(Layout, DealsEveryBlockOnce) {
  const BlockMask mask = mask_of(203, 8, causal);
  for (const Dealing dealing : {Dealing::kAuto, Dealing::kContiguous, Dealing::kZigzag, Dealing::kDealt}) {
    for (const std::int32_t ranks : {1, 2, 3, 4, 7, 26, 40}) {
      SCOPED_TRACE(testing::Message() << name_of(dealing) << " to " << ranks);
      const Layout layout = deal({&mask, 1}, {.ranks = ranks, .dealing = dealing}).value();
      ASSERT_EQ(layout.ranks(), ranks);
      expect_dealt(layout, 26);
      const Layout again = deal({&mask, 1}, {.ranks = ranks, .dealing = dealing}).value();
      EXPECT_EQ(layout.blocks, again.blocks);
      std::int32_t tokens = 0;
      for (std::int32_t r = 0; r < ranks; ++r) {
        EXPECT_EQ(layout.positions(r).size(), static_cast<std::size_t>(layout.tokens(r)));
        tokens += layout.tokens(r);
      }
      EXPECT_EQ(tokens, 203);
    }
  }
}

TEST(Layout, ZigzagOfEightTokens) {
  const BlockMask mask = mask_of(8, 1, causal);
  const Layout layout = deal({&mask, 1}, {.ranks = 2, .dealing = Dealing::kZigzag}).value();
  EXPECT_EQ(layout.positions(0), (std::vector<std::int32_t>{0, 1, 6, 7}));
  EXPECT_EQ(layout.positions(1), (std::vector<std::int32_t>{2, 3, 4, 5}));
}

// Counted pair by pair, with the documents and heads of a mask that no formula has.
TEST(Layout, WorkAndBytesAreThoseOfTheMask) {
  const auto allowed = [](int b, int h, int q, int kv) { return (q * 7 + kv * 3 + b + h) % 11 == 0 && q / 9 != kv / 13; };
  const std::int32_t length = 53, block = 4, ranks = 3;
  const BlockMaskShape shape{.batch = 2, .heads = 2, .q_len = length, .kv_len = length, .q_block = block, .kv_block = block};
  const BlockMask mask = test::brute_force_mask(shape, allowed);
  const Layout layout = deal({&mask, 1}, {.ranks = ranks, .dealing = Dealing::kDealt}).value();
  const Distribution found = distribute(mask, layout, 10);
  std::vector<int> owner(static_cast<std::size_t>(length));
  for (std::int32_t r = 0; r < ranks; ++r)
    for (const std::int32_t at : layout.positions(r)) owner[static_cast<std::size_t>(at)] = r;
  std::int64_t all_bytes = 0, all_work = 0, most = 0;
  for (std::int32_t r = 0; r < ranks; ++r) {
    std::int64_t work = 0;
    std::set<int> needed;
    for (int q = 0; q < length; ++q) {
      if (owner[static_cast<std::size_t>(q)] != r) continue;
      for (int kv = 0; kv < length; ++kv) {
        for (int plane = 0; plane < 4; ++plane) {
          if (mask.kind(plane / 2, plane % 2, q / block, kv / block) == BlockKind::kEmpty) continue;
          ++work;
          if (owner[static_cast<std::size_t>(kv)] != r) needed.insert(kv);
        }
      }
    }
    EXPECT_EQ(found.ranks[static_cast<std::size_t>(r)].work, work);
    EXPECT_EQ(found.ranks[static_cast<std::size_t>(r)].bytes_received, static_cast<std::int64_t>(needed.size()) * 10);
    all_bytes += static_cast<std::int64_t>(needed.size()) * 10;
    all_work += work;
    most = std::max(most, work);
  }
  EXPECT_EQ(found.bytes_sent, all_bytes);
  EXPECT_DOUBLE_EQ(found.balance, static_cast<double>(all_work) / ranks / static_cast<double>(most));
}

TEST(Layout, SelectedBlocksAreThoseOfTheMask) {
  const auto allowed = [](int, int h, int q, int kv) { return (q ^ kv) % 5 > h && q + 20 > kv; };
  const BlockMaskShape shape{.heads = 3, .q_len = 45, .kv_len = 45, .q_block = 4, .kv_block = 4};
  const BlockMask mask = test::brute_force_mask(shape, allowed);
  const std::vector<std::int32_t> q_blocks{1, 5, 6}, kv_blocks{0, 7, 3, 11};
  const BlockMask part = select(mask, {.q_blocks = q_blocks, .kv_blocks = kv_blocks, .first_head = 1, .heads = 2}).value();
  EXPECT_EQ(part.shape().heads, 2);
  EXPECT_EQ(part.shape().q_len, 12);
  EXPECT_EQ(part.shape().kv_len, 13);
  for (std::int32_t h = 0; h < 2; ++h)
    for (std::size_t q = 0; q < q_blocks.size(); ++q)
      for (std::size_t kv = 0; kv < kv_blocks.size(); ++kv)
        EXPECT_EQ(part.kind(0, h, static_cast<std::int32_t>(q), static_cast<std::int32_t>(kv)),
                  mask.kind(0, h + 1, q_blocks[q], kv_blocks[kv]));
}

// Layers with different masks share a dealing, whatever their order.
TEST(Layout, IsStableOverLayers) {
  const BlockMask masks[] = {mask_of(256, 8, causal),
                             mask_of(256, 8, [](int, int, int q, int kv) { return q >= kv && q - kv < 20; })};
  const BlockMask swapped[] = {masks[1], masks[0]};
  EXPECT_EQ(deal(masks, {.ranks = 5}).value().blocks, deal(swapped, {.ranks = 5}).value().blocks);
}

TEST(Layout, AutoTakesNeighboursWhereTheyAreBalanced) {
  const BlockMask window = mask_of(512, 8, [](int, int, int q, int kv) { return q >= kv && q - kv < 8; });
  EXPECT_EQ(deal({&window, 1}, {.ranks = 4}).value().dealing, Dealing::kContiguous);
  const BlockMask triangle = mask_of(512, 8, causal);
  EXPECT_NE(deal({&triangle, 1}, {.ranks = 4}).value().dealing, Dealing::kContiguous);
}

TEST(Layout, RefusesWhatCannotBeDealt) {
  const BlockMask mask = mask_of(16, 4, causal);
  EXPECT_EQ(deal({}, {}).diagnostics().front().kind, "mask-shape");
  EXPECT_EQ(deal({&mask, 1}, {.ranks = 0}).diagnostics().front().kind, "bad-option");
  const BlockMask rectangle = test::brute_force_mask({.q_len = 16, .kv_len = 12, .q_block = 4, .kv_block = 4}, causal);
  EXPECT_EQ(deal({&rectangle, 1}, {.ranks = 2}).diagnostics().front().kind, "mask-shape");
  const BlockMask masks[] = {mask, mask_of(20, 4, causal)};
  EXPECT_EQ(deal(masks, {.ranks = 2}).diagnostics().front().kind, "mask-shape");
}

}  // namespace
}  // namespace flexjit::mpi
