// Ranges of captured buffers against a scan of the box: sound always, and exact where a scan or a tree can be exact.
#include "mask/derive/buffer_ranges.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace flexjit {
namespace {

using ir::Range;
using mask::BufferTable;

constexpr double kInf = std::numeric_limits<double>::infinity();

Range range_of(const TensorView& view, std::vector<Range> index) {
  const BufferTable table(std::span(&view, 1), ir::Precision::kFp32);
  return table.range(0, index);
}

template <typename T>
Range whole(const std::vector<T>& values, DType dtype) {
  const TensorView view(values.data(), dtype, {static_cast<std::int64_t>(values.size())});
  return range_of(view, {{0, static_cast<double>(values.size()) - 1}});
}

TEST(BufferRanges, EveryDtype) {
  EXPECT_EQ(whole<float>({1.5F, -2}, DType::kF32), (Range{-2, 1.5}));
  EXPECT_EQ(whole<double>({1e300, 0.1}, DType::kF64), (Range{static_cast<double>(0.1F), kInf})) << "read as float";
  EXPECT_EQ(whole<std::uint16_t>({0x3c00, 0xc000, 0x0001, 0x7bff}, DType::kF16), (Range{-2, 65504}));
  EXPECT_EQ(whole<std::uint16_t>({0x0001, 0x8001}, DType::kF16), (Range{-std::ldexp(1, -24), std::ldexp(1, -24)}));
  EXPECT_EQ(whole<std::uint16_t>({0x7c00, 0xfc00, 0x7e00}, DType::kF16), (Range{-kInf, kInf, true}));
  EXPECT_EQ(whole<std::uint16_t>({0x3f80, 0xc040}, DType::kBF16), (Range{-3, 1}));
  EXPECT_EQ(whole<std::int64_t>({(std::int64_t{1} << 32) + 5, -7}, DType::kI64), (Range{-7, 4294967301.0}));
  EXPECT_EQ(whole<std::int32_t>({std::numeric_limits<std::int32_t>::min(), 3}, DType::kI32), (Range{ir::kIntMin, 3}));
  EXPECT_EQ(whole<std::int8_t>({-128, 127}, DType::kI8), (Range{-128, 127}));
  EXPECT_EQ(whole<std::uint8_t>({200, 255}, DType::kU8), (Range{200, 255}));
  EXPECT_EQ(whole<std::uint8_t>({7, 1}, DType::kBool), (Range{1, 1}));
}

TEST(BufferRanges, NanIsKeptApart) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(whole<float>({1, nan, 2}, DType::kF32), (Range{1, 2, true}));
  const Range only_nan = whole<float>({nan, nan}, DType::kF32);
  EXPECT_GT(only_nan.lo, only_nan.hi);
  EXPECT_TRUE(only_nan.may_nan);
}

TEST(BufferRanges, OutsideReadsAsZero) {
  const std::vector<std::int32_t> values = {5, 6, 7};
  const TensorView view(values.data(), DType::kI32, {3});
  EXPECT_EQ(range_of(view, {{0, 2}}), (Range{5, 7}));
  EXPECT_EQ(range_of(view, {{1, 3}}), (Range{0, 7}));
  EXPECT_EQ(range_of(view, {{-1, 0}}), (Range{0, 5}));
  EXPECT_EQ(range_of(view, {{3, 9}}), (Range{0, 0}));
  EXPECT_EQ(range_of(view, {ir::kAnyInt}), (Range{0, 7}));
  const TensorView nothing(values.data(), DType::kI32, {0});
  EXPECT_EQ(range_of(nothing, {ir::kAnyInt}), (Range{0, 0}));
}

TEST(BufferRanges, RepeatedDimensionIsOneElement) {
  const std::vector<std::int32_t> values = {5, 6};
  TensorView view(values.data(), DType::kI32, {1'000'000'000, 2});
  view.strides = {0, 1, 0, 0};
  EXPECT_EQ(range_of(view, {{0, 999'999'999}, {0, 1}}), (Range{5, 6}));
  EXPECT_EQ(range_of(view, {{0, 1'000'000'000}, {0, 1}}), (Range{0, 6}));
}

TEST(BufferRanges, LargeBoxesAreAnsweredByTheType) {
  const std::vector<std::uint8_t> values(100 * 100, 3);
  const TensorView view(values.data(), DType::kU8, {100, 100});
  EXPECT_EQ(range_of(view, {{0, 63}, {0, 63}}), (Range{3, 3}));
  EXPECT_EQ(range_of(view, {{0, 99}, {0, 99}}), (Range{0, 255}));
}

// One long line, asked many times by one table: the answers of the tree are those of a scan.
RC_GTEST_PROP(BufferRanges, LinesEqualAScan, ()) {
  const int length = *rc::gen::inRange(1, 2000);
  const int seed = *rc::gen::inRange(0, 1'000'000);
  const int step = *rc::gen::inRange(1, 4);
  std::vector<std::int32_t> values(static_cast<std::size_t>(length) * static_cast<std::size_t>(step));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<std::int32_t>((i * 7919 + static_cast<std::size_t>(seed)) * 104729 % 100003) - 50000;
  }
  TensorView view(values.data(), DType::kI32, {length});
  view.strides[0] = step;
  const BufferTable table(std::span(&view, 1), ir::Precision::kFp32);
  for (int i = 0; i < 20; ++i) {
    const int lo = *rc::gen::inRange(0, length), hi = *rc::gen::inRange(lo, length);
    double least = kInf, most = -kInf;
    for (int j = lo; j <= hi; ++j) {
      least = std::min<double>(least, values[static_cast<std::size_t>(j * step)]);
      most = std::max<double>(most, values[static_cast<std::size_t>(j * step)]);
    }
    const Range index[] = {{static_cast<double>(lo), static_cast<double>(hi)}};
    RC_ASSERT(table.range(0, index) == (Range{least, most}));
  }
}

// The same for floats of either sign, zeros and infinities, among them NaN now and then or often.
RC_GTEST_PROP(BufferRanges, LinesOfFloatsEqualAScan, ()) {
  const int length = *rc::gen::inRange(1, 2000), rarity = *rc::gen::element(1, 2, 700);
  const float specials[] = {0.0F, -0.0F, 1e-45F, -1e-45F, 3e38F, -3e38F, static_cast<float>(kInf), -static_cast<float>(kInf)};
  std::vector<float> values;
  for (int i = 0; i < length; ++i) {
    const int pick = *rc::gen::inRange(0, 100);
    const float value = pick < 8 ? specials[pick] : static_cast<float>(pick - 54) * 0.37F;
    values.push_back(*rc::gen::inRange(0, rarity) == 0 ? std::numeric_limits<float>::quiet_NaN() : value);
  }
  const TensorView view(values.data(), DType::kF32, {length});
  const BufferTable table(std::span(&view, 1), ir::Precision::kFp32);
  for (int i = 0; i < 20; ++i) {
    const int lo = *rc::gen::inRange(0, length), hi = *rc::gen::inRange(lo, length);
    Range expected{kInf, -kInf};
    for (int j = lo; j <= hi; ++j) {
      const double value = static_cast<double>(values[static_cast<std::size_t>(j)]);
      expected.may_nan = expected.may_nan || std::isnan(value);
      if (std::isnan(value)) continue;
      expected.lo = std::min(expected.lo, value);
      expected.hi = std::max(expected.hi, value);
    }
    const Range index[] = {{static_cast<double>(lo), static_cast<double>(hi)}};
    RC_ASSERT(table.range(0, index) == expected);
  }
}

// Boxes of a rank-4 buffer in any layout: every value of the box is inside the answer, and small boxes are exact.
RC_GTEST_PROP(BufferRanges, BoxesHoldEveryElement, ()) {
  std::array<std::int64_t, 4> shape{};
  for (auto& extent : shape) extent = *rc::gen::inRange(1, 12);
  std::vector<float> values(static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]));
  for (float& value : values) value = static_cast<float>(*rc::gen::inRange(-1000, 1000));
  TensorView view(values.data(), DType::kF32, {shape[0], shape[1], shape[2], shape[3]});
  std::swap(view.shape[1], view.shape[3]);
  std::swap(view.strides[1], view.strides[3]);
  std::vector<Range> index;
  bool outside = false;
  for (std::int64_t extent : view.shape) {
    const int lo = *rc::gen::inRange(-2, static_cast<int>(extent));
    const int hi = *rc::gen::inRange(std::max(lo, 0), static_cast<int>(extent) + 1);
    outside = outside || lo < 0 || hi >= extent;
    index.push_back({static_cast<double>(lo), static_cast<double>(hi)});
  }
  double least = outside ? 0 : kInf, most = outside ? 0 : -kInf;
  std::int64_t size = 0;
  std::array<std::int64_t, 4> at{};
  const auto visit = [&](auto&& self, std::size_t d) -> void {
    if (d == 4) {
      const double value = static_cast<double>(values[static_cast<std::size_t>(
          at[0] * view.strides[0] + at[1] * view.strides[1] + at[2] * view.strides[2] + at[3] * view.strides[3])]);
      least = std::min(least, value);
      most = std::max(most, value);
      ++size;
      return;
    }
    const auto hi = std::min(static_cast<std::int64_t>(index[d].hi), view.shape[d] - 1);
    for (at[d] = std::max<std::int64_t>(0, static_cast<std::int64_t>(index[d].lo)); at[d] <= hi; ++at[d]) self(self, d + 1);
  };
  visit(visit, 0);
  const Range found = range_of(view, index);
  RC_ASSERT(found.lo <= least && found.hi >= most);
  if (size <= BufferTable::kScanLimit) RC_ASSERT(found == (Range{least, most}));
}

TEST(BufferRanges, KeptTreesAreBounded) {
  // 20 lines of 2^20 elements: more nodes than are kept at once, so early trees go and are made again when asked.
  std::vector<std::int8_t> values(std::size_t{1} << 20);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int8_t>(i % 101);
  TensorView view(values.data(), DType::kI8, {20, 1 << 20});
  view.strides = {1, 1, 0, 0};
  view.shape[1] = (1 << 20) - 20;
  const BufferTable table(std::span(&view, 1), ir::Precision::kFp32);
  for (int round = 0; round < 2; ++round) {
    for (double line = 0; line < 20; ++line) {
      const Range index[] = {Range::point(line), {0, 99}};
      EXPECT_EQ(table.range(0, index), (line <= 1 ? Range{line, line + 99} : Range{0, 100}));
      EXPECT_LE(table.kept_nodes(), BufferTable::kNodeLimit);
    }
  }
}

}  // namespace
}  // namespace flexjit
