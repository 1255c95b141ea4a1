// Conversions against values whose encodings are in the standards.
#include "data/array.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace flexjit::tools {
namespace {

template <typename T>
Array array_of(DType dtype, const std::vector<T>& values) {
  Array array(dtype, {static_cast<std::int64_t>(values.size())});
  std::copy(values.begin(), values.end(), array.as<T>());
  return array;
}

TEST(Array, IsAlignedToACacheLine) {
  const Array array(DType::kF32, {3, 5});
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(array.bytes.data()) % 64, 0U);
  EXPECT_EQ(array.view().strides[0], 5);
}

TEST(Array, HalfPrecisionEncodings) {
  struct Encoding {
    float value;
    std::uint16_t half, bfloat;
  };
  const Encoding encodings[] = {{0.0F, 0x0000, 0x0000},      {-0.0F, 0x8000, 0x8000},    {1.0F, 0x3c00, 0x3f80},
                                {-2.0F, 0xc000, 0xc000},     {65504.0F, 0x7bff, 0x4780}, {65520.0F, 0x7c00, 0x4780},
                                {0x1p-14F, 0x0400, 0x3880},  {0x1p-24F, 0x0001, 0x3380}, {0x1p-26F, 0x0000, 0x3280},
                                {INFINITY, 0x7c00, 0x7f80},  {1.0F / 3, 0x3555, 0x3eab}, {0x1.002p0F, 0x3c00, 0x3f80},
                                {0x1.006p0F, 0x3c02, 0x3f80}};
  for (const Encoding& e : encodings) {
    const Array one = array_of<float>(DType::kF32, {e.value});
    EXPECT_EQ(convert(one, DType::kF16, "x").value().as<std::uint16_t>()[0], e.half) << e.value;
    EXPECT_EQ(convert(one, DType::kBF16, "x").value().as<std::uint16_t>()[0], e.bfloat) << e.value;
  }
  const Array nan = array_of<float>(DType::kF32, {NAN});
  for (DType dtype : {DType::kF16, DType::kBF16})
    EXPECT_TRUE(std::isnan(convert(convert(nan, dtype, "x").value(), DType::kF32, "x").value().as<float>()[0]));
}

TEST(Array, EveryHalfSurvivesTheWayToFloatAndBack) {
  Array halves(DType::kF16, {65536});
  for (int i = 0; i < 65536; ++i) halves.as<std::uint16_t>()[i] = static_cast<std::uint16_t>(i);
  const Array back = convert(convert(halves, DType::kF32, "x").value(), DType::kF16, "x").value();
  for (int i = 0; i < 65536; ++i) {
    if ((i & 0x7c00) != 0x7c00 || (i & 0x3ff) == 0) {
      ASSERT_EQ(back.as<std::uint16_t>()[i], i);
    }
  }
}

TEST(Array, IntegersMustFit) {
  const Array wide = array_of<std::int64_t>(DType::kI64, {1, -2, 300});
  EXPECT_EQ(convert(wide, DType::kI32, "x").value().as<std::int32_t>()[1], -2);
  const auto narrow = convert(wide, DType::kI8, "ids.npy");
  ASSERT_FALSE(narrow);
  EXPECT_EQ(render(narrow.diagnostics()), "ids.npy: error: value 300 at flat index 2 does not fit the declared i8\n");
  EXPECT_EQ(convert(wide, DType::kU8, "x").diagnostics()[0].kind, "buffer-value");
  EXPECT_EQ(convert(wide, DType::kBool, "x").value().as<std::uint8_t>()[2], 1);
}

TEST(Array, FloatsAreNotTruncatedToIntegers) {
  const auto refused = convert(array_of<float>(DType::kF32, {1.5F}), DType::kI32, "x");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.diagnostics()[0].kind, "buffer-dtype");
  EXPECT_EQ(convert(array_of<std::int32_t>(DType::kI32, {7}), DType::kF32, "x").value().as<float>()[0], 7.0F);
}

}  // namespace
}  // namespace flexjit::tools
