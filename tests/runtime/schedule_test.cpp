// The plan of a wave: every tile once, in the promised order, with the spans and the reach that a second way finds.
#include "runtime/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <map>
#include <set>
#include <tuple>

#include "batch.h"
#include "support/brute_force.h"

namespace flexjit::runtime {
namespace {

constexpr WorkShape kShape{
    .batch = 2, .q_heads = 6, .kv_heads = 3, .q_len = 100, .kv_len = 90, .q_tile = 16, .q_block = 16, .panel = 8};

// A schedule of sequences like the shape's.
struct Planned : Batch, Schedule {
  Planned(const WorkShape& shape, const BlockMask* mask) : Batch(shape.batch, shape.q_len, shape.kv_len, mask) {
    start({shape.q_heads, shape.kv_heads, shape.q_tile, shape.panel}, work, 0);
  }
};

std::vector<Item> all_items(Schedule& schedule, std::int64_t pairs_a_wave) {
  std::vector<Item> items;
  for (std::int64_t begin = 0; begin < kShape.pairs(); begin += pairs_a_wave) {
    schedule.plan({begin, std::min(begin + pairs_a_wave, kShape.pairs())});
    items.insert(items.end(), schedule.items().begin(), schedule.items().end());
  }
  return items;
}

// With a mask of 20-row blocks: tiles of 16 and 4 rows in turn.
constexpr WorkShape kMaskedShape{
    .batch = 2, .q_heads = 6, .kv_heads = 3, .q_len = 100, .kv_len = 90, .q_tile = 16, .q_block = 20, .panel = 8};

BlockMask mask_by_head() {
  const auto allowed = [](int, int h, int q, int kv) { return q >= kv && q - kv < 3 + 18 * h; };
  return test::brute_force_mask({1, 6, 100, 90, 20, 15}, allowed);
}

// Every panel of a pair that a tile of it visits, once, and no other.
void expect_packs_are_what_is_visited(const Schedule& schedule, std::int32_t panel) {
  std::map<std::int64_t, std::set<std::int32_t>> visited, packed;  // panels by pair
  for (const Item& item : schedule.items()) {
    for (const plan::SpanArg& span : schedule.spans(item)) {
      for (std::int32_t kv = span.begin; kv < span.end; ++kv) visited[item.pair].insert(kv / panel);
    }
  }
  for (const PackItem& pack : schedule.packs()) {
    EXPECT_EQ(pack.columns.begin % panel, 0);
    EXPECT_LT(pack.columns.begin, pack.columns.end);
    for (std::int32_t kv = pack.columns.begin; kv < pack.columns.end; kv += panel) {
      EXPECT_TRUE(packed[pack.pair].insert(kv / panel).second) << "twice: " << kv;
    }
  }
  EXPECT_EQ(packed, visited);
}

TEST(Schedule, OnlyVisitedPanelsArePacked) {
  const auto scattered = [](int b, int h, int q, int kv) {
    return (kv / 37 + h / 2 + b) % 9 == 0 || (q > 60 && kv / 100 == 13);
  };
  const WorkShape shape{
      .batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 80, .kv_len = 2000, .q_tile = 16, .q_block = 40, .panel = 8};
  for (const int heads : {1, 4}) {
    const BlockMask mask = test::brute_force_mask({2, heads, 80, 2000, 40, 20}, scattered);
    Planned schedule(shape, &mask);
    for (const Wave& wave : {Wave{0, 4}, Wave{1, 2}, Wave{2, 3, 1, 2}}) {
      schedule.plan(wave);
      expect_packs_are_what_is_visited(schedule, shape.panel);
    }
  }
}

TEST(Schedule, AWaveOfSomeHeadsOfAPair) {
  const BlockMask mask = mask_by_head();
  Planned whole(kMaskedShape, &mask), some(kMaskedShape, &mask);
  whole.plan({4, 5});
  std::vector<Item> expected(whole.items().begin(), whole.items().end()), found;
  for (std::int32_t head = 0; head < 2; ++head) {
    some.plan({4, 5, head, head + 1});
    for (const Item& item : some.items()) {
      EXPECT_EQ(item.h, 2 + head);
      const auto spans = some.spans(item);
      const auto& same = *std::ranges::find(expected, item.index, &Item::index);
      EXPECT_EQ(columns_of(spans), columns_of(whole.spans(same)));
      found.push_back(item);
    }
  }
  std::ranges::sort(expected, {}, &Item::index);
  std::ranges::sort(found, {}, &Item::index);
  EXPECT_TRUE(std::ranges::equal(found, expected, {}, &Item::index, &Item::index));
}

TEST(Schedule, EveryTileOfEveryHeadOnce) {
  for (std::int64_t pairs_a_wave : {1, 2, 4, 6}) {
    Planned schedule(kShape, nullptr);
    std::vector<Item> items = all_items(schedule, pairs_a_wave);
    std::ranges::sort(items, {}, &Item::index);
    ASSERT_EQ(items.size(), 2U * 6 * 7);
    for (std::size_t i = 0; i < items.size(); ++i) {
      const Item& item = items[i];
      const int tile = static_cast<int>(i % 7);
      EXPECT_EQ(item.index, static_cast<std::int64_t>(i));
      EXPECT_EQ(item.pair / 3, static_cast<int>(i / 42));
      EXPECT_EQ(item.h, static_cast<int>(i / 7 % 6));
      EXPECT_EQ(item.pair % 3, item.h / 2);
      EXPECT_EQ(item.q_begin, tile * 16);
      EXPECT_EQ(item.q_count, tile == 6 ? 4 : 16);
    }
  }
}

TEST(Schedule, TilesStopAtTheRowsOfMaskBlocks) {
  EXPECT_EQ(kMaskedShape.q_tiles(), 10);
  int next = 0;
  for (std::int64_t tile = 0; tile < kMaskedShape.q_tiles(); ++tile) {
    const QueryRows rows = kMaskedShape.rows_of(tile);
    EXPECT_EQ(rows.begin, next);
    EXPECT_EQ(rows.count, tile % 2 == 0 ? 16 : 4);
    next = rows.begin + rows.count;
  }
  EXPECT_EQ(next, 100);
  const WorkShape ragged{
      .batch = 1, .q_heads = 1, .kv_heads = 1, .q_len = 45, .kv_len = 9, .q_tile = 16, .q_block = 40, .panel = 8};
  EXPECT_EQ(ragged.q_tiles(), 4);
  EXPECT_EQ(ragged.rows_of(2).begin, 32);
  EXPECT_EQ(ragged.rows_of(2).count, 8);
  EXPECT_EQ(ragged.rows_of(3).begin, 40);
  EXPECT_EQ(ragged.rows_of(3).count, 5);
}

TEST(Schedule, PairAfterPairWithCostsFallingByHalves) {
  const BlockMask mask = test::brute_force_mask(
      {1, 6, 400, 900, 20, 15}, [](int, int h, int q, int kv) { return kv < (h < 2 ? 30 : 900) && kv < 2 * q + 15; });
  Planned schedule(
      {.batch = 1, .q_heads = 6, .kv_heads = 3, .q_len = 400, .kv_len = 900, .q_tile = 20, .q_block = 20, .panel = 5}, &mask);
  schedule.plan({0, 3});
  const auto items = schedule.items();
  ASSERT_EQ(items.size(), 6U * 20U);
  // The heads of the first pair see few keys, those of the others the same many.
  EXPECT_EQ(items.front().pair, 1);
  EXPECT_EQ(items[2 * 20].pair, 2);
  EXPECT_EQ(items.back().pair, 0);
  const auto size = [](const Item& item) { return std::bit_width(static_cast<std::uint64_t>(item.cost)); };
  int steps = 0;
  for (std::size_t i = 1; i < items.size(); ++i) {
    if (items[i].pair != items[i - 1].pair) continue;
    EXPECT_LE(size(items[i]), size(items[i - 1]));
    if (size(items[i]) == size(items[i - 1])) {
      EXPECT_GT(items[i].index, items[i - 1].index);
    }
    steps += size(items[i]) < size(items[i - 1]) ? 1 : 0;
  }
  EXPECT_GE(steps, 4);
}

TEST(Schedule, SpansAndReachAreThoseOfTheMask) {
  const BlockMask mask = mask_by_head();
  SpanMaker maker;
  maker.start(&mask, kShape.kv_len, kShape.panel);
  const Batch batch(kMaskedShape.batch, kMaskedShape.q_len, kMaskedShape.kv_len, &mask);
  Schedule schedule;
  for (int round = 0; round < 2; ++round) {
    schedule.start({kMaskedShape.q_heads, kMaskedShape.kv_heads, kMaskedShape.q_tile, kMaskedShape.panel}, batch.work, 0);
    for (std::int64_t pair = 0; pair < kShape.pairs(); ++pair) {
      schedule.plan({pair, pair + 1});
      int least = kShape.kv_len, most = 0;
      for (const Item& item : schedule.items()) {
        std::vector<plan::SpanArg> expected;
        maker.append({static_cast<std::int32_t>(item.pair / kShape.kv_heads), item.h, item.q_begin, item.q_count}, expected);
        const auto same = [](const plan::SpanArg& a, const plan::SpanArg& b) {
          return std::tuple(a.begin, a.end, a.kind) == std::tuple(b.begin, b.end, b.kind);
        };
        EXPECT_TRUE(std::ranges::equal(schedule.spans(item), expected, same)) << "item " << item.index;
        for (const plan::SpanArg& span : expected) {
          least = std::min(least, span.begin / kShape.panel * kShape.panel);
          most = std::max(most, span.end);
        }
      }
      EXPECT_EQ(schedule.reach(pair).begin, least);
      EXPECT_EQ(schedule.reach(pair).end, most);
      expect_packs_are_what_is_visited(schedule, kShape.panel);
    }
  }
}

TEST(Schedule, AnotherMaskForgetsTheSpansOfTheLast) {
  const BlockMask mask = mask_by_head();
  const WorkSizes sizes{kShape.q_heads, kShape.kv_heads, kShape.q_tile, kShape.panel};
  const Batch without(kShape.batch, kShape.q_len, kShape.kv_len, nullptr),
      with(kShape.batch, kShape.q_len, kShape.kv_len, &mask);
  Schedule schedule;
  schedule.start(sizes, without.work, 0);
  schedule.plan({0, 1});
  const std::int64_t all = columns_of(schedule.spans(schedule.items().front()));
  schedule.start(sizes, with.work, 0);
  schedule.plan({0, 1});
  EXPECT_EQ(all, 90);
  EXPECT_LT(columns_of(schedule.spans(schedule.items().front())), 90);
}

}  // namespace
}  // namespace flexjit::runtime
