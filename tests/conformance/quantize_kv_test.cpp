// quantize_kv against a search among all codes, for every type and whatever shares a scale; and what its errors are.
#include <array>
#include <cmath>
#include <limits>

#include "harness.h"
#include "quantized_codes.h"
#include "support/encodings.h"

namespace flexjit::conformance {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();

// One row of numbers with one scale -> codes.
struct Row {
  std::vector<unsigned char> codes;
  float scale;
};
Row quantise(DType dtype, const std::vector<float>& values, Scales scales = Scales::kComputed, float scale = kNaN) {
  const auto n = static_cast<std::int64_t>(values.size());
  Row row{std::vector<unsigned char>(values.size(), 0xee), scale};
  quantize_kv({.source = {values.data(), DType::kF32, {1, 1, 1, n}},
               .target = {row.codes.data(), dtype, {1, 1, 1, n}},
               .scales = {&row.scale, DType::kF32, {1, 1, 1, 1}},
               .scales_are = scales})
      .value();
  return row;
}

TEST(QuantizeKv, RoundsToTheNearestCode) {
  Random random(5);
  for (DType dtype : kQuantised) {
    // All codes, the middles between neighbours, what lies beside these, and any numbers.
    std::vector<float> values;
    for (int code = 0; code < 256; ++code) {
      const auto number = static_cast<float>(number_of(dtype, static_cast<unsigned char>(code)));
      const auto next = static_cast<float>(number_of(dtype, static_cast<unsigned char>((code + 1) % 256)));
      if (!std::isfinite(number) || !std::isfinite(next)) continue;
      const float middle = (number + next) / 2;
      for (float value : {number, middle, std::nextafter(middle, kInf), std::nextafter(middle, -kInf)}) values.push_back(value);
    }
    for (float value : random.normals(500, 50)) values.push_back(value);
    for (float value : {0.0F, -0.0F, 1e9F, -1e9F, kInf, -kInf, kNaN, 464.0F, 448.1F, 61440.0F, 1e-30F, 0x1p-10F, 3 * 0x1p-10F})
      values.push_back(value);
    const Row row = quantise(dtype, values, Scales::kGiven, 1);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double expected = number_of(dtype, nearest_code(dtype, static_cast<double>(values[i])));
      const double actual = number_of(dtype, row.codes[i]);
      const bool same = std::isnan(expected)
                            ? std::isnan(actual)
                            : actual == expected && (dtype == DType::kI8 || std::signbit(actual) == std::signbit(expected));
      EXPECT_TRUE(same) << name_of(dtype) << ": " << values[i] << " became " << actual << ", expected " << expected;
    }
  }
}

TEST(QuantizeKv, KnownCodesOfE4m3) {
  const std::vector<float> values = {256, 288, 464, 17, 19, 0x1p-10F, 3 * 0x1p-10F, 1e9F};
  const Row row = quantise(DType::kE4M3, values, Scales::kGiven, 1);
  const std::vector<double> numbers = {256, 288, 448, 16, 20, 0, 0x1p-8, 448};
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(number_of(DType::kE4M3, row.codes[i]), numbers[i]) << values[i];
  EXPECT_EQ(row.codes[0], 0x78);
  EXPECT_EQ(row.codes[1], 0x79);
  EXPECT_EQ(row.codes[2], 0x7e);
}

TEST(QuantizeKv, ScalesAreNeverZeroOrNaN) {
  for (DType dtype : kQuantised) {
    const double largest = number_of(dtype, largest_code(dtype));
    struct Case {
      std::vector<float> values;
      double scale;
    };
    for (const auto& [values, scale] : std::initializer_list<Case>{{{0, 0, 0, -0.0F}, 1},
                                                                   {{1, -2, 0, 0.5F}, 2 / largest},
                                                                   {{kNaN, 3, kInf, -1}, 3 / largest},
                                                                   {{kNaN, kNaN, kInf, -kInf}, 1},
                                                                   {{0x1p-149F, 0, 0, 0}, 0x1p-126}}) {
      const Row row = quantise(dtype, values);
      EXPECT_EQ(row.scale, static_cast<float>(scale)) << name_of(dtype);
      for (std::size_t i = 0; i < values.size(); ++i) {
        if (values[i] == 0) {
          EXPECT_EQ(number_of(dtype, row.codes[i]), 0);
        }
        EXPECT_EQ(std::isnan(number_of(dtype, row.codes[i])), std::isnan(values[i]) && dtype != DType::kI8);
      }
    }
  }
}

// Every subset of what may share a scale, on strided views of source, target and scales.
TEST(QuantizeKv, WhatSharesAScaleIsSaidByItsShape) {
  constexpr std::int64_t kB = 2, kH = 3, kL = 5, kD = 64;
  Random random(9);
  std::vector<float> numbers = random.normals(at(kB * kH * kL * kD));
  for (DType source : {DType::kF32, DType::kBF16, DType::kF16}) {
    const std::vector<unsigned char> bytes = encode(source, std::vector<double>(numbers.begin(), numbers.end()));
    const auto value = [&](std::int64_t i) { return read_element(source, &bytes[at(i) * size_of(source)]); };
    for (DType dtype : kQuantised) {
      for (int shared = 0; shared < 8; ++shared) {
        for (std::int64_t groups : {1, 2}) {
          const std::int64_t extents[4] = {(shared & 1) != 0 ? 1 : kB, (shared & 2) != 0 ? 1 : kH, (shared & 4) != 0 ? 1 : kL,
                                           groups};
          std::vector<float> scales(at(extents[0] * extents[1] * extents[2] * extents[3]), kNaN);
          std::vector<unsigned char> codes(at(kB * kL * kH * (kD + 8)), 0xee);
          MutableTensorView target(codes.data(), dtype, {kB, kH, kL, kD});
          target.strides = {kL * kH * (kD + 8), kD + 8, kH * (kD + 8),
                            1};  // (batch, length, heads, dim), a gap behind each row
          quantize_kv({.source = {bytes.data(), source, {kB, kH, kL, kD}},
                       .target = target,
                       .scales = {scales.data(), DType::kF32, std::span(extents)}})
              .value();
          const auto scale_of = [&](std::int64_t b, std::int64_t h, std::int64_t row, std::int64_t group) {
            const std::int64_t place[4] = {b, h, row, group};
            std::int64_t offset = 0;
            for (int d = 0; d < 4; ++d) offset = offset * extents[d] + (extents[d] == 1 ? 0 : place[d]);
            return at(offset);
          };
          std::vector<float> amax(scales.size(), 0);
          for (std::int64_t i = 0; i < kB * kH * kL * kD; ++i) {
            float& most = amax[scale_of(i / (kH * kL * kD), i / (kL * kD) % kH, i / kD % kL, i % kD * groups / kD)];
            most = std::max(most, static_cast<float>(std::abs(value(i))));
          }
          const auto largest = static_cast<float>(number_of(dtype, largest_code(dtype)));
          for (std::size_t i = 0; i < scales.size(); ++i) ASSERT_EQ(scales[i], amax[i] / largest);
          std::size_t wrong = 0, written = 0;
          for (std::int64_t i = 0; i < kB * kH * kL * kD; ++i) {
            const std::int64_t b = i / (kH * kL * kD), h = i / (kL * kD) % kH, row = i / kD % kL, d = i % kD;
            const float quotient = static_cast<float>(value(i)) / scales[scale_of(b, h, row, d * groups / kD)];
            const unsigned char code = codes[at(b * target.strides[0] + h * target.strides[1] + row * target.strides[2] + d)];
            wrong += number_of(dtype, code) != number_of(dtype, nearest_code(dtype, static_cast<double>(quotient)));
          }
          for (std::size_t i = 0; i < codes.size(); ++i) written += i % (kD + 8) >= kD && codes[i] != 0xee;
          EXPECT_EQ(wrong, 0U) << name_of(source) << " to " << name_of(dtype) << ", shared " << shared << ", groups " << groups;
          EXPECT_EQ(written, 0U) << "between the rows";
        }
      }
    }
  }
}

// Appending to a cache whose scale is that of the head leaves what was there.
TEST(QuantizeKv, GivenScalesStayAndSaturate) {
  float scale = 0.5;
  const std::vector<float> values = {1, 100, 1000, -3000};
  const Row row = quantise(DType::kI8, values, Scales::kGiven, scale);
  EXPECT_EQ(row.scale, scale);
  EXPECT_EQ(row.codes, (std::vector<unsigned char>{2, 127, 127, 0x81}));
}

// sqrt(sum of squares of the error / of the numbers), N(0, 1) by rows of 128: the figures of quantize.h.
TEST(QuantizeKv, RelativeErrorsOfNormalNumbers) {
  constexpr std::int64_t kRows = 2000, kDim = 128;
  const std::vector<float> numbers = Random(3).normals(at(kRows * kDim));
  struct Case {
    DType dtype;
    std::int64_t rows, groups;
    double error;
  };
  for (const Case& test : {Case{DType::kI8, kRows, 1, 0.0075},
                           {DType::kI8, kRows, 4, 0.0065},
                           {DType::kE4M3, kRows, 1, 0.027},
                           {DType::kE4M3, 1, 1, 0.027},
                           {DType::kE5M2, kRows, 1, 0.053},
                           {DType::kE5M2, 1, 1, 0.053}}) {
    std::vector<unsigned char> codes(numbers.size());
    std::vector<float> scales(at(test.rows * test.groups));
    quantize_kv({.source = {numbers.data(), DType::kF32, {1, 1, kRows, kDim}},
                 .target = {codes.data(), test.dtype, {1, 1, kRows, kDim}},
                 .scales = {scales.data(), DType::kF32, {1, 1, test.rows, test.groups}}})
        .value();
    double error = 0, all = 0;
    for (std::int64_t i = 0; i < kRows * kDim; ++i) {
      const std::int64_t row = test.rows == 1 ? 0 : i / kDim;
      const double scale = static_cast<double>(scales[at(row * test.groups + i % kDim * test.groups / kDim)]);
      const double number = static_cast<double>(numbers[at(i)]),
                   difference = number_of(test.dtype, codes[at(i)]) * scale - number;
      error += difference * difference;
      all += number * number;
    }
    const double relative = std::sqrt(error / all);
    EXPECT_LT(relative, test.error) << name_of(test.dtype);
    EXPECT_GT(relative, test.error / 2) << name_of(test.dtype);
    RecordProperty(std::string(name_of(test.dtype)) + "_" + std::to_string(test.rows) + "_" + std::to_string(test.groups),
                   std::to_string(relative));
  }
}

std::string findings_of(const std::function<void(QuantizeArgs&)>& breakage) {
  static float source[64], scales[64];
  static unsigned char codes[64];
  QuantizeArgs args{.source = {source, DType::kF32, {1, 2, 4, 8}},
                    .target = {codes, DType::kI8, {1, 2, 4, 8}},
                    .scales = {scales, DType::kF32, {1, 2, 4, 1}}};
  breakage(args);
  const Status status = quantize_kv(args);
  std::string text;
  if (!status)
    for (const Diagnostic& diagnostic : status.diagnostics()) text += diagnostic.kind + ": " + diagnostic.message + "\n";
  return text;
}

TEST(QuantizeKv, Findings) {
  EXPECT_EQ(findings_of([](QuantizeArgs&) {}), "");
  EXPECT_EQ(findings_of([](QuantizeArgs& a) { a.target.dtype = DType::kU8; }),
            "unsupported-dtype: target is u8; it must be i8, e4m3 or e5m2\n");
  EXPECT_EQ(findings_of([](QuantizeArgs& a) { a.source.dtype = DType::kI8; }),
            "unsupported-dtype: source is i8; it must be f32, bf16 or f16\n");
  EXPECT_EQ(findings_of([](QuantizeArgs& a) { a.scales.shape[1] = 3; }),
            "scale-shape: scales has 3 kv_heads; it must be 1 or 2\n");
  EXPECT_EQ(findings_of([](QuantizeArgs& a) { a.scales = {a.scales.data, DType::kF32, {1, 2, 4, 3}}; }),
            "scale-shape: scales has 3 groups of dims; it must be 1 or another divisor of 8\n");
  EXPECT_EQ(findings_of([](QuantizeArgs& a) { a.target.shape[2] = 3; }), "tensor-shape: target has len 3, but source has 4\n");
  EXPECT_EQ(
      findings_of([](QuantizeArgs& a) { a.target.strides[1] = 0; }),
      "overlapping-rows: the elements of target overlap in memory (an expanded or too small stride); results need a place "
      "of their own\n");
  EXPECT_EQ(findings_of([](QuantizeArgs& a) {
              static_cast<float*>(a.scales.data)[0] = 0;
              a.scales_are = Scales::kGiven;
            }),
            "bad-scale: scales has a scale of 0 at (0, 0, 0, 0); scales are positive and finite\n");
}

}  // namespace
}  // namespace flexjit::conformance
