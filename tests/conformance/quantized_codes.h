// The elements of 8 bits by their definitions: tables of what each code stands for.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "flexjit/tensor.h"
#include "support/random.h"

namespace flexjit::conformance {

inline constexpr DType kQuantised[] = {DType::kI8, DType::kE4M3, DType::kE5M2};

inline double number_of(DType dtype, unsigned char code) {
  if (dtype == DType::kI8) return code < 128 ? code : code - 256;
  const bool e4m3 = dtype == DType::kE4M3;
  const int fraction_bits = e4m3 ? 3 : 2, bias = e4m3 ? 7 : 15;
  const int fraction = code & ((1 << fraction_bits) - 1), exponent = (code & 0x7f) >> fraction_bits;
  const double sign = code < 128 ? 1 : -1;
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  if (e4m3 && (code & 0x7f) == 0x7f) return kNone;
  if (!e4m3 && exponent == 31) return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : kNone;
  const double significand = std::ldexp(fraction, -fraction_bits) + (exponent == 0 ? 0 : 1);
  return sign * std::ldexp(significand, (exponent == 0 ? 1 : exponent) - bias);
}

inline unsigned char largest_code(DType dtype) { return dtype == DType::kI8 ? 0x7f : dtype == DType::kE4M3 ? 0x7e : 0x7b; }
inline unsigned char nan_code(DType dtype) { return dtype == DType::kE4M3 ? 0xff : 0x7e; }

// Any of them, those near 0 as often as the largest.
inline unsigned char finite_code(DType dtype, test::Random& random) {
  for (;;) {
    const auto code = static_cast<unsigned char>(random.integer(0, 255));
    if (std::isfinite(number_of(dtype, code))) return code;
  }
}

// The nearest number's code, ties to even codes, saturating, found by looking at all.
inline unsigned char nearest_code(DType dtype, double value) {
  if (std::isnan(value)) return dtype == DType::kI8 ? 0 : 0x7f;
  unsigned char best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (int code = 0; code < 256; ++code) {
    const auto candidate = static_cast<unsigned char>(code);
    const double number = number_of(dtype, candidate);
    if (!std::isfinite(number) || (dtype == DType::kI8 && code == 128)) continue;
    if (dtype != DType::kI8 && std::signbit(number) != std::signbit(value)) continue;
    const double distance = std::abs(number - std::clamp(value, -1e6, 1e6));
    if (distance < least || (distance == least && code % 2 == 0)) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace flexjit::conformance
