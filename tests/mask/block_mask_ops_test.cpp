// What is made from a block mask without its pattern: cut, turned, combined, imported, written and read.
#include <gtest/gtest.h>

#include <random>

#include "support/brute_force.h"
#include "support/checklist.h"

namespace flexjit {
namespace {

constexpr BlockMaskShape kShape{2, 1, 70, 95, 16, 12};

BlockMask random_mask(unsigned seed, const BlockMaskShape& shape = kShape) {
  std::mt19937 generator(seed);
  std::vector<BlockKind> kinds(static_cast<std::size_t>(shape.batch * shape.heads * shape.q_blocks() * shape.kv_blocks()));
  for (BlockKind& kind : kinds) kind = static_cast<BlockKind>(generator() % 3);
  return BlockMask::from_kinds(shape, kinds).value();
}

TEST(BlockMaskRuns, AreTheListsInOrder) {
  const BlockMask mask = random_mask(1);
  std::vector<BlockRun> runs;
  for (std::int32_t b = 0; b < 2; ++b) {
    for (std::int32_t q = 0; q < kShape.q_blocks(); ++q) {
      mask.row_runs(b, 0, q, runs);
      std::int32_t last = 0;
      std::vector<BlockKind> kinds(static_cast<std::size_t>(kShape.kv_blocks()));
      for (const BlockRun& run : runs) {
        EXPECT_LE(last, run.kv_begin);
        last = run.kv_end;
        std::fill(kinds.begin() + run.kv_begin, kinds.begin() + run.kv_end, run.kind);
      }
      for (std::int32_t kv = 0; kv < kShape.kv_blocks(); ++kv)
        EXPECT_EQ(kinds[static_cast<std::size_t>(kv)], mask.kind(b, 0, q, kv));
    }
  }
}

TEST(BlockMaskLists, OfNeighboursTakeNoRoom) {
  const BlockMask causal = test::brute_force_mask({1, 1, 4096, 4096, 16, 16}, [](int, int, int q, int kv) { return q >= kv; });
  EXPECT_EQ(causal.counts().full, 256 * 255 / 2);
  EXPECT_LE(causal.bytes(), 256U * 32U);
}

TEST(BlockMaskTranspose, SwapsQueriesAndKeys) {
  const BlockMask mask = random_mask(2), turned = mask.transpose();
  EXPECT_EQ(turned.shape(), (BlockMaskShape{2, 1, 95, 70, 12, 16}));
  for (std::int32_t b = 0; b < 2; ++b) {
    for (std::int32_t q = 0; q < kShape.q_blocks(); ++q) {
      for (std::int32_t kv = 0; kv < kShape.kv_blocks(); ++kv) EXPECT_EQ(turned.kind(b, 0, kv, q), mask.kind(b, 0, q, kv));
    }
  }
  EXPECT_EQ(turned.transpose().to_dense(), mask.to_dense());
}

TEST(BlockMaskCombination, DecidesWhatBothDecide) {
  const BlockMask a = random_mask(3), c = random_mask(4, {1, 3, 70, 95, 16, 12});
  const BlockMask both = a.intersect(c).value(), either = a.unite(c).value(), inverse = a.complement();
  EXPECT_EQ(both.shape(), (BlockMaskShape{2, 3, 70, 95, 16, 12}));
  constexpr auto kEmpty = BlockKind::kEmpty, kFull = BlockKind::kFull;
  for (std::int32_t b = 0; b < 2; ++b) {
    for (std::int32_t h = 0; h < 3; ++h) {
      for (std::int32_t q = 0; q < kShape.q_blocks(); ++q) {
        for (std::int32_t kv = 0; kv < kShape.kv_blocks(); ++kv) {
          const BlockKind x = a.kind(b, h, q, kv), y = c.kind(b, h, q, kv);
          EXPECT_EQ(both.kind(b, h, q, kv) == kEmpty, x == kEmpty || y == kEmpty);
          EXPECT_EQ(both.kind(b, h, q, kv) == kFull, x == kFull && y == kFull);
          EXPECT_EQ(either.kind(b, h, q, kv) == kEmpty, x == kEmpty && y == kEmpty);
          EXPECT_EQ(either.kind(b, h, q, kv) == kFull, x == kFull || y == kFull);
          EXPECT_EQ(inverse.kind(b, h, q, kv) == kEmpty, x == kFull);
          EXPECT_EQ(inverse.kind(b, h, q, kv) == kFull, x == kEmpty);
        }
      }
    }
  }
  EXPECT_FALSE(a.intersect(random_mask(5, {2, 1, 70, 95, 16, 13})).has_value());
  EXPECT_FALSE(a.unite(random_mask(5, {3, 1, 70, 95, 16, 12})).has_value());
}

TEST(BlockMaskSlice, IsSoundAndExactWhereBlocksCoincide) {
  const auto allowed = [](int, int, int q, int kv) { return (q / 5 + kv / 9) % 3 != 0 && std::abs(q - kv) < 40; };
  const BlockMaskShape shape{1, 1, 70, 95, 16, 12};
  const BlockMask mask = test::brute_force_mask(shape, allowed);
  for (auto [q, kv] : {std::pair{PositionRange{0, 70}, PositionRange{0, 95}},
                       {{16, 48}, {24, 95}},
                       {{3, 4}, {0, 50}},
                       {{5, 66}, {7, 95}},
                       {{70, 70}, {0, 0}}}) {
    const BlockMask cut = mask.slice(q, kv).value();
    const BlockMask exact = test::brute_force_mask(
        cut.shape(), [&, q = q, kv = kv](int b, int h, int i, int j) { return allowed(b, h, q.begin + i, kv.begin + j); });
    ASSERT_EQ(cut.to_dense().size(), exact.to_dense().size());
    for (std::size_t i = 0; i < cut.to_dense().size(); ++i) {
      if (cut.to_dense()[i] != BlockKind::kPartial) {
        EXPECT_EQ(cut.to_dense()[i], exact.to_dense()[i]);
      }
    }
    const bool coincides = q.begin % 16 == 0 && kv.begin % 12 == 0 && (q.end % 16 == 0 || q.end == 70) && kv.end == 95;
    if (coincides) {
      EXPECT_EQ(cut.to_dense(), exact.to_dense());
    }
  }
  EXPECT_FALSE(mask.slice({0, 71}, {0, 95}).has_value());
  EXPECT_FALSE(mask.slice({5, 4}, {0, 95}).has_value());
  EXPECT_FALSE(mask.slice({0, 70}, {-1, 95}).has_value());
}

TEST(BlockMaskImport, ListsInAnyOrder) {
  covers("D46");
  const BlockMaskShape shape{1, 1, 20, 40, 10, 10};
  const std::vector<std::int32_t> counts = {2, 1}, indices = {3, 0, 99, 2, 99, 99}, full_counts = {1, 2}, full = {1, -1, 1, 3};
  const BlockMask mask = BlockMask::from_lists(shape, {counts, indices, 3}, {full_counts, full, 2}).value();
  constexpr auto P = BlockKind::kPartial, F = BlockKind::kFull, E = BlockKind::kEmpty;
  EXPECT_EQ(mask.to_dense(), (std::vector<BlockKind>{P, F, E, P, E, F, P, F}));
  EXPECT_EQ(BlockMask::from_lists(shape, {counts, indices, 3}, {}).value().counts().full, 0);
}

TEST(BlockMaskImport, RefusesListsThatCannotBe) {
  covers("D46");
  const BlockMaskShape shape{1, 1, 20, 40, 10, 10};
  const std::vector<std::int32_t> counts = {1, 1}, indices = {0, 1}, same = {0, 3}, high = {0, 4}, many = {2, 0}, one = {1};
  EXPECT_TRUE(BlockMask::from_lists(shape, {counts, indices, 1}, {}).has_value());
  EXPECT_FALSE(BlockMask::from_lists(shape, {counts, indices, 1}, {counts, same, 1}).has_value()) << "twice";
  EXPECT_FALSE(BlockMask::from_lists(shape, {counts, high, 1}, {}).has_value());
  EXPECT_FALSE(BlockMask::from_lists(shape, {many, indices, 1}, {}).has_value());
  EXPECT_FALSE(BlockMask::from_lists(shape, {one, indices, 1}, {}).has_value());
  EXPECT_FALSE(BlockMask::from_lists(shape, {counts, indices, 2}, {}).has_value());
  EXPECT_FALSE(BlockMask::from_lists({1, 1, 20, 40, 0, 10}, {counts, indices, 1}, {}).has_value());
}

TEST(BlockMaskImport, BlockCompressedRows) {
  const BlockMaskShape shape{1, 1, 5, 6, 2, 4};
  const std::vector<std::int32_t> indptr = {0, 1, 3, 4}, indices = {1, 0, 1, 0};
  // The second column of blocks has 2 positions, the last row 1; what lies outside does not count.
  const std::vector<std::uint8_t> data = {1, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
                                          0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0};
  const BlockMask mask = BlockMask::from_bsr(shape, {indptr, indices, data}).value();
  constexpr auto P = BlockKind::kPartial, F = BlockKind::kFull, E = BlockKind::kEmpty;
  EXPECT_EQ(mask.to_dense(), (std::vector<BlockKind>{E, F, P, E, F, E}));
  EXPECT_EQ(BlockMask::from_bsr(shape, {indptr, indices, {}}).value().counts().full, 4);
  EXPECT_EQ((BsrMatrix{indptr, indices, data}.slots(shape)), (std::vector<std::int32_t>{-1, 0, 1, 2, 3, -1}));
  const std::vector<std::int32_t> falling = {0, 1, 0, 4}, outside = {1, 0, 2, 0}, unsorted = {1, 1, 0, 0};
  EXPECT_FALSE(BlockMask::from_bsr(shape, {falling, indices, {}}).has_value());
  EXPECT_FALSE(BlockMask::from_bsr(shape, {indptr, outside, {}}).has_value());
  EXPECT_FALSE(BlockMask::from_bsr(shape, {indptr, unsorted, {}}).has_value());
  EXPECT_FALSE(BlockMask::from_bsr(shape, {indptr, indices, std::span(data).first(31)}).has_value());
  EXPECT_FALSE(BlockMask::from_bsr({2, 1, 5, 6, 2, 4}, {indptr, indices, {}}).has_value());
}

TEST(BlockMaskBytes, ComeBackAndShowEveryDamage) {
  const BlockMask mask = random_mask(6);
  const std::vector<std::uint8_t> bytes = mask.to_bytes();
  const BlockMask back = BlockMask::from_bytes(bytes).value();
  EXPECT_EQ(back.shape(), mask.shape());
  EXPECT_EQ(back.to_dense(), mask.to_dense());
  EXPECT_EQ(back.to_bytes(), bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::vector<std::uint8_t> damaged = bytes;
    damaged[i] ^= 0x10;
    EXPECT_FALSE(BlockMask::from_bytes(damaged).has_value()) << "byte " << i;
    EXPECT_FALSE(BlockMask::from_bytes(std::span(bytes).first(i)).has_value()) << "the first " << i << " bytes";
  }
  std::vector<std::uint8_t> longer = bytes;
  longer.push_back(0);
  EXPECT_FALSE(BlockMask::from_bytes(longer).has_value());
  EXPECT_EQ(BlockMask::from_bytes({}).diagnostics().front().kind, "mask-bytes");
}

}  // namespace
}  // namespace flexjit
