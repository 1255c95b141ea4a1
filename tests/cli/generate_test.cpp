// Generated inputs: reproducible, of the promised distribution, and indices that are valid where patterns use them.
#include "data/generate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace flexjit::tools {
namespace {

TEST(Generate, NormalHasMeanZeroAndVarianceOne) {
  const Array array = normal_array({1000, 99}, {7, 0});
  const std::int64_t n = array.count();
  double sum = 0, squares = 0, fourth = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double x = array.as<float>()[i];
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  const double count = static_cast<double>(n);
  EXPECT_NEAR(sum / count, 0, 0.02);
  EXPECT_NEAR(squares / count, 1, 0.03);
  EXPECT_NEAR(fourth / count, 3, 0.2);
}

TEST(Generate, SeedsAndStreamsDiffer) {
  const Array a = normal_array({64}, {1, 0});
  EXPECT_EQ(a.bytes, normal_array({64}, {1, 0}).bytes);
  EXPECT_NE(a.bytes, normal_array({64}, {2, 0}).bytes);
  EXPECT_NE(a.bytes, normal_array({64}, {1, 1}).bytes);
}

std::vector<std::int32_t> ints(const std::string& extent, std::int64_t count, std::int64_t kv_len) {
  const Array array = buffer_array({"x", DType::kI32, 1, {extent}}, {count}, kv_len, {});
  return {array.as<std::int32_t>(), array.as<std::int32_t>() + count};
}

TEST(Generate, SegmentsAndTheirOffsetsAgree) {
  const auto ids = ints("kv_len", 100, 100);
  const auto starts = ints("9", 9, 100);
  EXPECT_EQ(starts.front(), 0);
  EXPECT_EQ(starts.back(), 100);
  for (std::int32_t i = 0; i < 100; ++i) {
    const auto id = static_cast<std::size_t>(ids[static_cast<std::size_t>(i)]);
    ASSERT_LT(id, 8U);
    EXPECT_LE(starts[id], i);
    EXPECT_LE(i, starts[id + 1]);
  }
}

TEST(Generate, LengthsLieInside) {
  EXPECT_EQ(ints("batch_size", 1, 100), std::vector<std::int32_t>{50});
  EXPECT_EQ(ints("num_heads", 2, 100), (std::vector<std::int32_t>{25, 75}));
}

TEST(Generate, SmallIntegersAreClampedNotWrapped) {
  const Array array = buffer_array({"x", DType::kI8, 1, {"?"}}, {3}, 4000, {});
  EXPECT_EQ(array.as<std::int8_t>()[1], 127);
  EXPECT_EQ(array.as<std::int8_t>()[2], 127);
}

TEST(Generate, FloatsArePositiveAndTame) {
  for (DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    const Array array = convert(buffer_array({"x", dtype, 1, {"?"}}, {500}, 1, {}), DType::kF64, "x").value();
    for (std::int64_t i = 0; i < 500; ++i) {
      EXPECT_GE(array.as<double>()[i], 0);
      EXPECT_LE(array.as<double>()[i], 0.25);
    }
  }
}

}  // namespace
}  // namespace flexjit::tools
