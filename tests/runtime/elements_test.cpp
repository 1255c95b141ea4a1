// Elements of every float dtype: all 65536 codes survive, and rounding is to nearest even at every midpoint.
#include "support/elements.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace flexjit {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double value_of(DType dtype, std::uint16_t bits) {
  double value = 0;
  support::read_elements(dtype, &bits, 0, {&value, 1});
  return value;
}

std::uint16_t bits_of(DType dtype, double value) {
  std::uint16_t bits = 0xabcd;
  support::write_elements(dtype, &bits, 0, {&value, 1});
  return bits;
}

class SmallFloats : public testing::TestWithParam<DType> {};

TEST_P(SmallFloats, EveryNumberSurvives) {
  for (std::uint32_t code = 0; code < 0x10000; ++code) {
    const auto bits = static_cast<std::uint16_t>(code);
    const double value = value_of(GetParam(), bits);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(value_of(GetParam(), bits_of(GetParam(), value))));
    } else {
      ASSERT_EQ(bits_of(GetParam(), value), bits);
    }
  }
}

TEST_P(SmallFloats, RoundsToNearestEven) {
  for (std::uint16_t bits = 0; std::isfinite(value_of(GetParam(), static_cast<std::uint16_t>(bits + 1))); ++bits) {
    const auto next = static_cast<std::uint16_t>(bits + 1);
    const double low = value_of(GetParam(), bits), high = value_of(GetParam(), next);
    const double middle = (low + high) / 2;
    ASSERT_EQ(bits_of(GetParam(), middle), bits % 2 == 0 ? bits : next) << bits;
    ASSERT_EQ(bits_of(GetParam(), std::nextafter(middle, 0.0)), bits) << bits;
    ASSERT_EQ(bits_of(GetParam(), std::nextafter(middle, kInfinity)), next) << bits;
    ASSERT_EQ(bits_of(GetParam(), -middle), bits_of(GetParam(), middle) | 0x8000) << bits;
  }
}

TEST_P(SmallFloats, TooLargeIsInfinity) {
  std::uint16_t infinity = 0;
  while (std::isfinite(value_of(GetParam(), infinity))) ++infinity;
  const double largest = value_of(GetParam(), static_cast<std::uint16_t>(infinity - 1));
  const double before = value_of(GetParam(), static_cast<std::uint16_t>(infinity - 2));
  const double limit = largest + (largest - before) / 2;
  EXPECT_EQ(bits_of(GetParam(), limit), infinity);
  EXPECT_EQ(bits_of(GetParam(), std::nextafter(limit, 0.0)), infinity - 1);
  EXPECT_EQ(bits_of(GetParam(), 1e300), infinity);
  EXPECT_EQ(bits_of(GetParam(), -kInfinity), infinity | 0x8000);
}

INSTANTIATE_TEST_SUITE_P(Elements, SmallFloats, testing::Values(DType::kF16, DType::kBF16),
                         [](const auto& tested) { return std::string(name_of(tested.param)); });

TEST(Elements, KnownCodes) {
  EXPECT_EQ(bits_of(DType::kBF16, 1.0), 0x3f80);
  EXPECT_EQ(bits_of(DType::kBF16, -2.5), 0xc020);
  EXPECT_EQ(bits_of(DType::kF16, 1.0), 0x3c00);
  EXPECT_EQ(bits_of(DType::kF16, 65504.0), 0x7bff);
  EXPECT_EQ(bits_of(DType::kF16, 0x1p-24), 0x0001);
  EXPECT_EQ(bits_of(DType::kF16, -0.0), 0x8000);
}

TEST(Elements, WideRowsFromAnOffset) {
  const std::vector<float> floats = {1, 2, 3, 4};
  std::array<double, 2> two{};
  support::read_elements(DType::kF32, floats.data(), 2, two);
  EXPECT_EQ(two, (std::array<double, 2>{3, 4}));
  std::vector<double> doubles(4, 7);
  support::write_elements(DType::kF64, doubles.data(), 1, two);
  EXPECT_EQ(doubles, (std::vector<double>{7, 3, 4, 7}));
}

}  // namespace
}  // namespace flexjit
