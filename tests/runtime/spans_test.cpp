// Spans of random masks, tiles and panels against a look at every column, and the worked cases that a reader can check.
#include "runtime/spans.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <tuple>

namespace flexjit {
namespace {

using Spans = std::vector<std::tuple<int, int, int>>;

Spans spans_of(const BlockMask* mask, int kv_len, int panel, const runtime::TileRows& rows) {
  runtime::SpanMaker maker;
  maker.start(mask, kv_len, panel);
  std::vector<plan::SpanArg> found = {{-8, -4, plan::SpanKind::kWhole}};  // a tile before this one
  maker.append(rows, found);
  Spans result;
  for (std::size_t i = 1; i < found.size(); ++i)
    result.emplace_back(found[i].begin, found[i].end, static_cast<int>(found[i].kind));
  return result;
}

BlockMask mask_of(const BlockMaskShape& shape, const std::string& picture) {
  std::vector<BlockKind> kinds;
  for (char c : picture) kinds.push_back(c == '#' ? BlockKind::kFull : c == '+' ? BlockKind::kPartial : BlockKind::kEmpty);
  return BlockMask::from_kinds(shape, kinds).value();
}

TEST(Spans, WithoutMaskOnlyTheRaggedStripIsCut) {
  EXPECT_EQ(spans_of(nullptr, 96, 32, {0, 0, 0, 5}), (Spans{{0, 96, 0}}));
  EXPECT_EQ(spans_of(nullptr, 100, 32, {0, 0, 0, 5}), (Spans{{0, 96, 0}, {96, 100, 2}}));
  EXPECT_EQ(spans_of(nullptr, 7, 32, {0, 0, 0, 5}), (Spans{{0, 7, 2}}));
  EXPECT_EQ(spans_of(nullptr, 0, 32, {0, 0, 0, 5}), (Spans{}));
}

TEST(Spans, BlocksThatAreMultiplesOfTheStrip) {
  const BlockMask mask = mask_of({1, 1, 64, 320, 64, 64}, "##+ #");
  EXPECT_EQ(spans_of(&mask, 320, 32, {0, 0, 16, 16}), (Spans{{0, 128, 0}, {128, 192, 1}, {256, 320, 0}}));
}

TEST(Spans, BlocksThatCutAStrip) {
  const BlockMask mask = mask_of({1, 1, 8, 60, 8, 12}, "## ##");
  // Allowed are [0, 24) and [36, 60): only [0, 16) is whole panels; the bounds of the others keep [24, 36) out.
  EXPECT_EQ(spans_of(&mask, 60, 16, {0, 0, 0, 8}), (Spans{{0, 16, 0}, {16, 24, 2}, {36, 60, 2}}));
}

// The mask must not be asked about the full block, so that its columns are a span of their own.
TEST(Spans, RaggedEndsStandBesidePartialNeighbours) {
  const BlockMask mask = mask_of({1, 1, 8, 60, 8, 20}, "+#+");
  EXPECT_EQ(spans_of(&mask, 60, 16, {0, 0, 0, 8}), (Spans{{0, 20, 1}, {20, 40, 2}, {40, 60, 1}}));
  EXPECT_EQ(spans_of(&mask, 60, 4, {0, 0, 0, 8}), (Spans{{0, 20, 1}, {20, 40, 0}, {40, 60, 1}}));
}

TEST(Spans, OnlyTheBlockRowOfTheTileCounts) {
  const BlockMask mask = mask_of({1, 1, 16, 64, 8, 16},
                                 "#+ #"
                                 "## +");
  EXPECT_EQ(spans_of(&mask, 64, 16, {0, 0, 4, 4}), (Spans{{0, 16, 0}, {16, 32, 1}, {48, 64, 0}}));
  EXPECT_EQ(spans_of(&mask, 64, 16, {0, 0, 8, 4}), (Spans{{0, 32, 0}, {48, 64, 1}}));
}

TEST(Spans, EveryHeadHasItsOwnPlane) {
  const BlockMask mask = mask_of({2, 2, 8, 32, 8, 16}, "# +  # +");
  EXPECT_EQ(spans_of(&mask, 32, 16, {0, 1, 0, 8}), (Spans{{0, 16, 1}}));
  EXPECT_EQ(spans_of(&mask, 32, 16, {1, 1, 0, 8}), (Spans{{16, 32, 1}}));
}

// One character a column: ' ' not visited, '+' visited with the mask, else without it: '#' where the column's whole panel
// exists and lies in full blocks, '-' elsewhere.
std::string columns_by_looking(const BlockMask& mask, int panel, const runtime::TileRows& rows) {
  const BlockMaskShape& shape = mask.shape();
  const auto kind = [&](int kv) { return mask.kind(rows.b, rows.h, rows.q_begin / shape.q_block, kv / shape.kv_block); };
  std::string columns;
  for (int kv = 0; kv < shape.kv_len; ++kv) {
    const int begin = kv / panel * panel;
    bool whole = begin + panel <= shape.kv_len;
    for (int i = begin; whole && i < begin + panel; ++i) whole = kind(i) == BlockKind::kFull;
    const bool full = kind(kv) == BlockKind::kFull;
    columns += kind(kv) == BlockKind::kEmpty ? ' ' : !full ? '+' : whole ? '#' : '-';
  }
  return columns;
}

Spans joined(const std::string& columns) {
  Spans spans;
  for (std::size_t i = 0; i < columns.size();) {
    std::size_t end = i;
    while (end < columns.size() && columns[end] == columns[i]) ++end;
    if (columns[i] != ' ')
      spans.emplace_back(static_cast<int>(i), static_cast<int>(end), columns[i] == '+' ? 1 : columns[i] == '-' ? 2 : 0);
    i = end;
  }
  return spans;
}

RC_GTEST_PROP(Spans, EqualALookAtEveryColumn, ()) {
  BlockMaskShape shape;
  shape.batch = *rc::gen::inRange(1, 3);
  shape.heads = *rc::gen::inRange(1, 3);
  shape.q_len = *rc::gen::inRange(1, 60);
  shape.kv_len = *rc::gen::inRange(1, 120);
  shape.q_block = *rc::gen::inRange(1, 40);
  shape.kv_block = *rc::gen::inRange(1, 40);
  const auto size = static_cast<std::size_t>(shape.batch) * static_cast<std::size_t>(shape.heads) *
                    static_cast<std::size_t>(shape.q_blocks()) * static_cast<std::size_t>(shape.kv_blocks());
  const auto kinds = *rc::gen::container<std::vector<BlockKind>>(
      size, rc::gen::element(BlockKind::kEmpty, BlockKind::kPartial, BlockKind::kFull, BlockKind::kFull));
  const BlockMask mask = BlockMask::from_kinds(shape, kinds).value();
  const int panel = *rc::gen::element(1, 4, 8, 16, 32, 48);
  runtime::TileRows rows;
  rows.b = *rc::gen::inRange(0, shape.batch);
  rows.h = *rc::gen::inRange(0, shape.heads);
  rows.q_begin = *rc::gen::inRange(0, shape.q_len);
  rows.q_count = 1;
  RC_ASSERT(spans_of(&mask, shape.kv_len, panel, rows) == joined(columns_by_looking(mask, panel, rows)));
}

RC_GTEST_PROP(Spans, UnitedAreTheColumnsOfEither, ()) {
  constexpr int kLength = 200;
  const auto random_spans = [&] {
    std::vector<plan::SpanArg> spans;
    for (int at = *rc::gen::inRange(0, 60); at < kLength;) {
      const int end = std::min(kLength, at + *rc::gen::inRange(1, 70));
      spans.push_back({at, end, static_cast<plan::SpanKind>(*rc::gen::inRange(0, 2))});
      at = end + (*rc::gen::inRange(0, 2) == 0 ? 0 : *rc::gen::inRange(1, 50));
    }
    return spans;
  };
  const std::vector<plan::SpanArg> a = random_spans(), b = random_spans();
  // 0: not visited, 1: masked, 2: all allowed.
  const auto columns_of = [&](const std::vector<plan::SpanArg>& spans) {
    std::vector<int> columns(kLength, 0);
    for (const plan::SpanArg& span : spans)
      std::fill(columns.begin() + span.begin, columns.begin() + span.end, span.kind != plan::SpanKind::kWhole ? 1 : 2);
    return columns;
  };
  std::vector<plan::SpanArg> united = {{-8, -4, plan::SpanKind::kWhole}};
  runtime::unite_spans(a, b, united);
  const std::vector<int> in_a = columns_of(a), in_b = columns_of(b), in_both = columns_of(united);
  for (std::size_t i = 0; i < kLength; ++i) RC_ASSERT(in_both[i] == (in_a[i] == in_b[i] ? in_a[i] : 1));
  for (std::size_t i = 1; i < united.size(); ++i) {
    RC_ASSERT(united[i - 1].end < united[i].begin ||
              (united[i - 1].end == united[i].begin && united[i - 1].kind != united[i].kind));
  }
}

}  // namespace
}  // namespace flexjit
