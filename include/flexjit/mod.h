// What a C++ mod (docs/cxx.md) may use beside the standard library, for the host's compiler, so that a file of mods also
// compiles in a program: as a reference in its tests, or as the source of both the text and the function. When a mod is read as
// a text, these declarations are there without being included.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

// A lambda that is both a function and its text: FLEXJIT_MOD([](int q_idx, int kv_idx) { return q_idx >= kv_idx; }). It is
// called as the lambda is, and text() is an AttentionSpec's mask_mod or score_mod with TextLanguage::kCxx. Comments are not
// part of the text, and line ends are blanks in it.
#define FLEXJIT_MOD(...) (::flexjit::make_mod(__VA_ARGS__, #__VA_ARGS__))

namespace flexjit {

template <typename Function>
struct Mod : Function {
  constexpr Mod(Function function, const char* words) : Function(function), words_(words) {}
  // Of the program's life time.
  constexpr const char* text() const { return words_; }

 private:
  const char* words_;
};

template <typename Function>
constexpr Mod<Function> make_mod(Function function, const char* words) {
  return {function, words};
}

// A captured array of several dimensions, which a mod reads as array(i, j). `T` is const; contiguous, row-major.
template <typename T, int kRank>
class Tensor {
 public:
  constexpr Tensor(T* data, std::array<std::ptrdiff_t, kRank> extents) : data_(data), extents_(extents) {}

  template <typename... Index>
  constexpr const T& operator()(Index... index) const {
    static_assert(sizeof...(Index) == kRank);
    std::ptrdiff_t at = 0;
    std::size_t dimension = 0;
    ((at = at * extents_[dimension++] + static_cast<std::ptrdiff_t>(index)), ...);
    return data_[at];
  }

 private:
  T* data_;
  std::array<std::ptrdiff_t, kRank> extents_;
};

namespace detail {

// `bits`: a sign, exponent bits and as many mantissa bits. With infinities, the largest exponent is theirs and of NaN, as in
// IEEE 754; without, NaN is all bits set but the sign.
constexpr float small_float(std::uint32_t bits, int exponent_bits, int mantissa_bits, bool has_infinities) {
  const std::uint32_t ones = (1U << exponent_bits) - 1, last = (1U << mantissa_bits) - 1;
  const std::uint32_t exponent = bits >> mantissa_bits & ones, mantissa = bits & last;
  const float sign = (bits >> (exponent_bits + mantissa_bits) & 1U) != 0 ? -1.0F : 1.0F;
  if (exponent == ones && (has_infinities || mantissa == last)) {
    const bool is_infinity = has_infinities && mantissa == 0;
    return is_infinity ? sign * std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  }
  const int bias = static_cast<int>(ones >> 1), power = static_cast<int>(exponent == 0 ? 1 : exponent) - bias - mantissa_bits;
  const auto unit = std::bit_cast<float>(static_cast<std::uint32_t>(127 + power) << 23);
  return sign * static_cast<float>(exponent == 0 ? mantissa : mantissa + last + 1) * unit;
}

}  // namespace detail

// Elements of captured arrays of small floats, as their bits; they read as floats. e4m3 has no infinities (OCP FP8 formats).
struct bf16 {
  std::uint16_t bits;
  constexpr operator float() const {  // NOLINT(google-explicit-constructor)
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
};
struct f16 {
  std::uint16_t bits;
  constexpr operator float() const { return detail::small_float(bits, 5, 10, true); }  // NOLINT(google-explicit-constructor)
};
struct e4m3 {
  std::uint8_t bits;
  constexpr operator float() const { return detail::small_float(bits, 4, 3, false); }  // NOLINT(google-explicit-constructor)
};
struct e5m2 {
  std::uint8_t bits;
  constexpr operator float() const { return detail::small_float(bits, 5, 2, true); }  // NOLINT(google-explicit-constructor)
};

// Functions of the language that C++ has not. T: float or double.
template <typename T>
T rsqrt(T x) {
  return 1 / std::sqrt(x);
}
template <typename T>
T sigmoid(T x) {
  return 1 / (1 + std::exp(-x));
}
template <typename T>
T silu(T x) {
  return x * sigmoid(x);
}
template <typename T>
T gelu(T x) {
  return x / 2 * (1 + std::erf(x / std::sqrt(T{2})));
}
template <typename T>
T relu(T x) {
  return x > 0 ? x : 0;
}

}  // namespace flexjit
