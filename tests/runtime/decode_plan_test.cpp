// The items of decoding under masks of every kind, row by row against a look at the mask: what each row visits, that rows and
// splits are covered once, and that no size makes a wave large.
#include "runtime/decode/decode_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "batch.h"
#include "support/brute_force.h"

namespace flexjit::runtime {
namespace {

using test::Allowed;
using test::brute_force_mask;

// 0: not visited, 1: masked, 2: all allowed; by column.
using Columns = std::vector<int>;

constexpr int kQueries = 3;

struct Problem : Batch {
  Problem(const BlockMask* mask, std::int32_t kv_len, MaskOrigin origin)
      : Batch(2, kQueries, kv_len, mask),
        decode{.sequences = work, .kv_heads = 2, .group = 5, .q_tile = 8, .strip = 16, .row_floats = 10, .origin = origin} {}
  DecodeWork decode;
};

// What the row visits by the mask alone: its partial blocks, and of its full ones those steps that are whole.
Columns visited_by(const BlockMask& mask, std::int32_t b, std::int32_t h, std::int32_t q) {
  SpanMaker maker;
  maker.start(&mask, mask.shape().kv_len, 16);
  std::vector<plan::SpanArg> spans;
  maker.append({b, h, q, 1}, spans);
  Columns columns(static_cast<std::size_t>(mask.shape().kv_len), 0);
  for (const plan::SpanArg& span : spans)
    std::fill(columns.begin() + span.begin, columns.begin() + span.end, span.kind != plan::SpanKind::kWhole ? 1 : 2);
  return columns;
}

// By (b, query head, q), over all waves of `chunks` chunks; a column that is visited twice is -1.
std::map<std::tuple<int, int, int>, Columns> plan_rows(const DecodeWork& work, std::int64_t chunks) {
  std::map<std::tuple<int, int, int>, Columns> rows;
  DecodePlan plan(work);
  const std::int32_t kv_len = work.sequences.front().sequence->kv_len;
  const std::int64_t split = keys_per_split(kv_len);
  for (std::int64_t begin = 0; begin < plan.chunks(); begin += chunks) {
    const Wave wave{begin, std::min(begin + chunks, plan.chunks())};
    plan.plan(wave);
    std::int64_t state = 0;
    std::size_t items = 0;
    for (std::int64_t chunk = wave.begin; chunk < wave.end; ++chunk) items += plan.items_of(chunk).size();
    EXPECT_EQ(items, plan.items().size());
    std::vector<DecodeItem> by_state(plan.items().begin(), plan.items().end());
    std::ranges::sort(by_state, {}, &DecodeItem::state);
    for (const DecodeItem& item : by_state) {
      EXPECT_GE(item.state, state);
      EXPECT_EQ(item.state % 16, 0);
      state = item.state + item.rows.count * work.row_floats;
      EXPECT_LE(state, plan.state_floats());
      for (std::int64_t row = item.rows.begin; row < item.rows.begin + item.rows.count; ++row) {
        const auto head = static_cast<int>(item.rows.kv_head * work.group + row / kQueries);
        Columns& columns = rows[{item.rows.sequence, head, static_cast<int>(row % kQueries)}];
        columns.resize(static_cast<std::size_t>(kv_len));
        for (const plan::SpanArg& span : plan.spans(item)) {
          EXPECT_EQ(span.begin / split, item.split);
          EXPECT_EQ((span.end - 1) / split, item.split);
          for (std::int32_t kv = span.begin; kv < span.end; ++kv) {
            int& column = columns[static_cast<std::size_t>(kv)];
            column = column != 0 ? -1 : span.kind != plan::SpanKind::kWhole ? 1 : 2;
          }
        }
      }
    }
  }
  return rows;
}

const std::vector<Allowed> kMasks = {
    [](int, int, int q, int kv) { return kv <= 900 + 40 * q; },
    [](int b, int, int, int kv) { return kv % 700 < 300 + 100 * b; },
    [](int, int h, int, int kv) { return kv < 200 * (h / 5 + 1); },  // constant in a group
    [](int, int h, int, int kv) { return kv >= 100 * h && kv < 130 * h + 400; },
    [](int, int h, int, int kv) { return kv / 150 == h; },  // nothing in common
    [](int b, int h, int q, int kv) { return kv < 64 * h + 32 * q + b; },
    [](int, int, int, int) { return false; },
};

TEST(DecodePlan, EveryRowVisitsItsOwnKeysUnderAGivenMask) {
  for (std::size_t i = 0; i < kMasks.size(); ++i) {
    for (const int q_block : {1, 2, 3, 100}) {
      SCOPED_TRACE(::testing::Message() << "mask " << i << ", q_block " << q_block);
      const BlockMask mask = brute_force_mask({2, 10, 3, 1500, q_block, 50}, kMasks[i]);
      for (const std::int64_t chunks : {1, 3, 100}) {
        auto rows = plan_rows(Problem(&mask, 1500, MaskOrigin::kGiven).decode, chunks);
        for (int b = 0; b < 2; ++b) {
          for (int h = 0; h < 10; ++h) {
            for (int q = 0; q < 3; ++q) {
              Columns& seen = rows[{b, h, q}];
              seen.resize(1500);
              ASSERT_EQ(seen, visited_by(mask, b, h, q)) << b << ", " << h << ", " << q;
            }
          }
        }
      }
    }
  }
}

TEST(DecodePlan, UnderADerivedMaskRowsMayShareWhatTheyRead) {
  for (std::size_t i = 0; i < kMasks.size(); ++i) {
    const BlockMask mask = brute_force_mask({2, 10, 3, 1500, 3, 50}, kMasks[i]);
    auto rows = plan_rows(Problem(&mask, 1500, MaskOrigin::kDerived).decode, 100);
    for (int b = 0; b < 2; ++b) {
      for (int h = 0; h < 10; ++h) {
        for (int q = 0; q < 3; ++q) {
          const Columns own = visited_by(mask, b, h, q);
          Columns& seen = rows[{b, h, q}];
          seen.resize(1500);
          for (std::size_t kv = 0; kv < own.size(); ++kv) {
            ASSERT_GE(seen[kv], 0) << "twice";
            ASSERT_TRUE(own[kv] == 0 || seen[kv] > 0) << i << ": a key is left out";
            ASSERT_TRUE(seen[kv] != 2 || own[kv] == 2) << i << ": all allowed only where it is for every row";
          }
        }
      }
    }
  }
}

std::int64_t columns_read(const BlockMask& mask, MaskOrigin origin) {
  const Problem problem(&mask, 1500, origin);
  DecodePlan plan(problem.decode);
  plan.plan({0, 1});
  std::int64_t columns = 0;
  for (const DecodeItem& item : plan.items()) columns += columns_of(plan.spans(item));
  return columns;
}

TEST(DecodePlan, KeysAreReadOnceWhereThatIsCheaper) {
  // Windows that differ a little by head: together they are hardly more than each.
  const BlockMask nested =
      brute_force_mask({2, 10, 3, 1500, 3, 50}, [](int, int h, int, int kv) { return kv < 1000 + 50 * h; });
  EXPECT_EQ(columns_read(nested, MaskOrigin::kDerived), 1100);
  EXPECT_EQ(columns_read(nested, MaskOrigin::kGiven), 1000 + 1050 + 1100);
  // Heads with nothing in common stay apart.
  const BlockMask apart = brute_force_mask({2, 10, 3, 1500, 3, 50}, [](int, int h, int, int kv) { return kv / 500 == h; });
  EXPECT_EQ(columns_read(apart, MaskOrigin::kDerived), 1500);
  const Problem problem(&apart, 1500, MaskOrigin::kDerived);
  DecodePlan plan(problem.decode);
  plan.plan({0, 1});
  for (const DecodeItem& item : plan.items()) EXPECT_LE(item.rows.count, 3);
}

TEST(DecodePlan, NoSizeMakesAWaveLarge) {
  for (const std::int32_t group : {1, 1 << 12, 1 << 28}) {
    for (const std::int32_t kv_len : {1, 5000, 1 << 30}) {
      const Batch one(1, 4, kv_len, nullptr);
      const DecodeWork work{.sequences = one.work, .kv_heads = 1, .group = group, .q_tile = 32, .strip = 16, .row_floats = 514};
      DecodePlan plan(work);
      const std::int64_t chunks = plan.chunks_per_wave();
      const std::int64_t rows = work.rows(one.work.front());
      EXPECT_EQ(rows, std::int64_t{4} * group);
      plan.plan({plan.chunks() - chunks, plan.chunks()});
      EXPECT_LE(plan.items().size(), std::size_t{1} << 14);
      EXPECT_LE(plan.state_floats() * 4, std::int64_t{32} << 20);
      const DecodeRows last = plan.rows_of(plan.chunks() - 1);
      EXPECT_EQ(last.begin + last.count, rows);
    }
  }
}

}  // namespace
}  // namespace flexjit::runtime
