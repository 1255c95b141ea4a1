// See encodings.h.
#include "support/encodings.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace flexjit::test {
namespace {

struct Format {
  int fraction_bits;
  int exponent_bits;
};

Format format_of(DType dtype) { return dtype == DType::kBF16 ? Format{7, 8} : Format{10, 5}; }

double decode_small(const Format& format, std::uint16_t bits) {
  const int fraction = bits & ((1 << format.fraction_bits) - 1);
  const int largest = (1 << format.exponent_bits) - 1;
  const int exponent = (bits >> format.fraction_bits) & largest;
  const int bias = largest / 2;
  double magnitude = std::ldexp(1.0 + std::ldexp(fraction, -format.fraction_bits), exponent - bias);
  if (exponent == 0) magnitude = std::ldexp(fraction, 1 - bias - format.fraction_bits);
  if (exponent == largest) {
    magnitude = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  }
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

// All numbers from 0 to infinity, by code.
std::vector<double> numbers_of(const Format& format) {
  std::vector<double> numbers;
  for (std::uint16_t bits = 0; numbers.empty() || std::isfinite(numbers.back()); ++bits) {
    numbers.push_back(decode_small(format, bits));
  }
  return numbers;
}

// e4m3 has no infinity; the code behind the largest number is NaN.
double decode_e4m3(std::uint8_t code) {
  if ((code & 0x7f) == 0x7f) return std::numeric_limits<double>::quiet_NaN();
  const int fraction = code & 7, exponent = code >> 3 & 15;
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
  return code < 0x80 ? magnitude : -magnitude;
}

std::vector<double> numbers_of_e4m3() {
  std::vector<double> numbers;
  for (std::uint8_t code = 0; code < 0x7f; ++code) numbers.push_back(decode_e4m3(code));
  numbers.push_back(std::numeric_limits<double>::infinity());
  return numbers;
}

const std::vector<double>& numbers_of(DType dtype) {
  static const std::vector<double> bfloats = numbers_of(Format{7, 8}), halves = numbers_of(Format{10, 5});
  static const std::vector<double> quarters = numbers_of(Format{2, 5}), e4m3 = numbers_of_e4m3();
  if (dtype == DType::kE4M3) return e4m3;
  if (dtype == DType::kE5M2) return quarters;
  return dtype == DType::kBF16 ? bfloats : halves;
}

// Sign and code; a dtype of 8 bits has its sign in bit 7.
std::uint16_t encode_small(DType dtype, double value) {
  const std::vector<double>& numbers = numbers_of(dtype);
  const int sign_bit = size_of(dtype) == 1 ? 0x80 : 0x8000;
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? sign_bit : 0);
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | (sign_bit - 1));
  const double magnitude = std::abs(value);
  const std::size_t above =
      static_cast<std::size_t>(std::lower_bound(numbers.begin(), numbers.end(), magnitude) - numbers.begin());
  std::size_t code = above;
  if (above > 0 && numbers[above] != magnitude) {
    // Rounding takes infinity for the number that would follow the largest.
    const double below = numbers[above - 1];
    const double over = std::isinf(numbers[above]) ? 2 * below - numbers[above - 2] : numbers[above];
    const double to_below = magnitude - below, to_above = over - magnitude;
    if (to_below < to_above || (to_below == to_above && above % 2 == 1)) code = above - 1;
  }
  return static_cast<std::uint16_t>(sign | code);
}

template <typename T>
T load(const unsigned char* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

template <typename T>
void store(unsigned char* at, T value) {
  std::memcpy(at, &value, sizeof(T));
}

}  // namespace

double read_element(DType dtype, const unsigned char* at) {
  if (dtype == DType::kF64) return load<double>(at);
  if (dtype == DType::kF32) return static_cast<double>(load<float>(at));
  if (dtype == DType::kI8) return load<std::int8_t>(at);
  if (dtype == DType::kE4M3) return decode_e4m3(*at);
  if (dtype == DType::kE5M2) return decode_small(Format{10, 5}, static_cast<std::uint16_t>(*at << 8));  // f16's upper half
  return decode_small(format_of(dtype), load<std::uint16_t>(at));
}

void write_element(DType dtype, unsigned char* at, double value) {
  if (dtype == DType::kF64) return store(at, value);
  if (dtype == DType::kF32) return store(at, static_cast<float>(value));
  if (dtype == DType::kI8) return store(at, static_cast<std::int8_t>(std::isnan(value) ? 0 : std::nearbyint(value)));
  if (size_of(dtype) == 1) return store(at, static_cast<std::uint8_t>(encode_small(dtype, value)));
  store(at, encode_small(dtype, value));
}

double nearest(DType dtype, double value) {
  unsigned char bytes[sizeof(double)];
  write_element(dtype, bytes, value);
  return read_element(dtype, bytes);
}

std::vector<unsigned char> encode(DType dtype, std::span<const double> values) {
  std::vector<unsigned char> bytes(values.size() * size_of(dtype));
  for (std::size_t i = 0; i < values.size(); ++i) write_element(dtype, &bytes[i * size_of(dtype)], values[i]);
  return bytes;
}

}  // namespace flexjit::test
