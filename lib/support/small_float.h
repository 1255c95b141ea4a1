// bf16, fp16 and fp8 elements <-> floats, on single values: what the interpreter, the block masks and the reference read and
// write.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace flexjit::support {

inline float half_to_float(std::uint16_t bits) {
  // Selects, so that loops over it run in vectors.
  const std::uint32_t sign = std::uint32_t{bits & 0x8000U} << 16, magnitude = bits & 0x7fffU;
  const float subnormal = static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24F;
  const std::uint32_t rebased = (magnitude << 13) + (112U << 23);
  std::uint32_t value = magnitude < 0x400U ? std::bit_cast<std::uint32_t>(subnormal) : rebased;
  value = magnitude >= 0x7c00U ? magnitude << 13 | 0x7f800000U : value;
  return std::bit_cast<float>(sign | value);
}

inline float bfloat_to_float(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

// The nearest bf16 or fp16, ties to even, by integer arithmetic that runs in vectors; NaN stays a quiet NaN.
inline std::uint16_t float_to_bfloat(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = bits + 0x7fffU + (bits >> 16 & 1U);
  const std::uint32_t quiet = bits | 0x400000U;
  return static_cast<std::uint16_t>(((bits & 0x7fffffffU) > 0x7f800000U ? quiet : rounded) >> 16);
}

inline std::uint16_t float_to_half(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000U, magnitude = bits & 0x7fffffffU;
  // Below 2^-14 the unit in the last place is 2^-24, which is that of a float from 0.5 on.
  const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - 0x3f000000U;
  const std::uint32_t normal = (magnitude - 0x38000000U + 0xfffU + (magnitude >> 13 & 1U)) >> 13;
  std::uint32_t half = magnitude < 0x38800000U ? subnormal : normal;
  half = magnitude >= 0x477ff000U ? 0x7c00U : half;
  half = magnitude > 0x7f800000U ? 0x7e00U : half;
  return static_cast<std::uint16_t>(sign | half);
}

inline float e5m2_to_float(std::uint8_t bits) { return half_to_float(static_cast<std::uint16_t>(bits << 8)); }

// Moved into the fields of an fp16, a number is 2^-8 times itself.
inline float e4m3_to_float(std::uint8_t bits) {
  const std::uint32_t magnitude = bits & 0x7fU;
  if (magnitude == 0x7f) return std::bit_cast<float>(0x7fc00000U | std::uint32_t{bits & 0x80U} << 24);
  return half_to_float(static_cast<std::uint16_t>((bits & 0x80U) << 8 | magnitude << 7)) * 0x1p8F;
}

// A binary format of 16 bits or fewer.
struct SmallFormat {
  int fraction_bits;
  int least_exponent;  // of a normal number
};
inline constexpr SmallFormat kHalf{10, -14};
inline constexpr SmallFormat kBFloat{7, -126};

// The magnitude's code, in one rounding to nearest, ties to even, as if the exponent had no end. `magnitude` is finite.
inline std::uint32_t code_of(SmallFormat format, double magnitude) {
  if (magnitude == 0) return 0;
  const int exponent = std::max(std::ilogb(magnitude), format.least_exponent);
  // In units of the last place; a fraction that rounds up to the next power of two carries into the exponent.
  const auto units = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(magnitude, format.fraction_bits - exponent)));
  return (static_cast<std::uint32_t>(exponent - format.least_exponent) << format.fraction_bits) + units;
}

// The nearest number, ties to even, in one rounding; too large gives infinity, NaN stays a quiet NaN.
inline std::uint16_t round_to(SmallFormat format, double value) {
  const int fraction_bits = format.fraction_bits;
  const std::uint32_t infinity = (0x7fffU >> fraction_bits) << fraction_bits;
  const std::uint32_t sign = std::signbit(value) ? 0x8000U : 0U;
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | infinity | 1U << (fraction_bits - 1));
  const double magnitude = std::fabs(value);
  const bool is_huge = magnitude >= std::ldexp(1.0, 2 - format.least_exponent);
  const std::uint32_t bits = is_huge ? infinity : code_of(format, magnitude);
  return static_cast<std::uint16_t>(sign | std::min(bits, infinity));
}

// fp8, whose encoding saturates.
struct Fp8Format : SmallFormat {
  double largest;
  std::uint32_t largest_code, nan_code;
};
inline constexpr Fp8Format kE4M3{{3, -6}, 448, 0x7e, 0x7f};
inline constexpr Fp8Format kE5M2{{2, -14}, 57344, 0x7b, 0x7f};

// The nearest number, ties to even, in one rounding; too large gives the largest one, NaN stays NaN.
inline std::uint8_t round_to(const Fp8Format& format, double value) {
  const std::uint32_t sign = std::signbit(value) ? 0x80U : 0U;
  if (std::isnan(value)) return static_cast<std::uint8_t>(sign | format.nan_code);
  const double magnitude = std::fabs(value);
  return static_cast<std::uint8_t>(sign | (magnitude >= format.largest ? format.largest_code : code_of(format, magnitude)));
}

}  // namespace flexjit::support
