// The meaning of ops.def on single values, where C++'s own operators differ from it: wrapping ints, floor division, casts that
// saturate. The interpreter and the constant folder are built from these.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace flexjit::ir {

inline constexpr std::int32_t kInt32Min = std::numeric_limits<std::int32_t>::min();
inline constexpr std::int32_t kInt32Max = std::numeric_limits<std::int32_t>::max();

// Of ints of either width; function objects, so that they can be handed on.
template <typename T>
using Bits = std::make_unsigned_t<T>;

inline constexpr auto wrap_add = []<typename T>(T a, T b) {
  return static_cast<T>(static_cast<Bits<T>>(a) + static_cast<Bits<T>>(b));
};
inline constexpr auto wrap_sub = []<typename T>(T a, T b) {
  return static_cast<T>(static_cast<Bits<T>>(a) - static_cast<Bits<T>>(b));
};
inline constexpr auto wrap_mul = []<typename T>(T a, T b) {
  return static_cast<T>(static_cast<Bits<T>>(a) * static_cast<Bits<T>>(b));
};
inline constexpr auto wrap_neg = []<typename T>(T a) { return wrap_sub(T{0}, a); };
inline constexpr auto wrap_abs = []<typename T>(T a) { return a < 0 ? wrap_neg(a) : a; };

// The bits of a count that matter: 31 or 63.
template <typename T>
inline constexpr T kCountMask = static_cast<T>(8 * sizeof(T) - 1);
inline constexpr auto shift_left = []<typename T>(T a, T b) {
  return static_cast<T>(static_cast<Bits<T>>(a) << (b & kCountMask<T>));
};
inline constexpr auto shift_right = []<typename T>(T a, T b) { return static_cast<T>(a >> (b & kCountMask<T>)); };

inline constexpr auto floor_div = []<typename T>(T a, T b) -> T {
  if (b == 0) return 0;
  if (b == -1) return wrap_neg(a);
  const T quotient = a / b;
  return quotient - (a % b != 0 && (a % b < 0) != (b < 0) ? 1 : 0);
};

inline constexpr auto floor_mod = []<typename T>(T a, T b) -> T {
  if (b == 0 || b == -1) return 0;
  const T rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
};

inline std::int32_t float_to_int(double a) {
  if (a != a) return 0;
  if (a <= kInt32Min) return kInt32Min;
  if (a >= kInt32Max) return kInt32Max;
  return static_cast<std::int32_t>(a);
}

inline std::int32_t long_to_int(std::int64_t a) {
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(a, kInt32Min, kInt32Max));
}

// How a float result is stored. Correct rounding of + - * / sqrt to fp32 through fp64 is exact (53 >= 2 * 24 + 2).
struct RoundToFp32 {
  double operator()(double a) const { return static_cast<double>(static_cast<float>(a)); }
};
struct KeepFp64 {
  double operator()(double a) const { return a; }
};

}  // namespace flexjit::ir
