// The meaning of ops.def on single values, where C++'s own operators differ from it: wrapping ints, floor division, casts that
// saturate. The interpreter and the constant folder are built from these.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace flexjit::ir {

inline constexpr std::int32_t kInt32Min = std::numeric_limits<std::int32_t>::min();
inline constexpr std::int32_t kInt32Max = std::numeric_limits<std::int32_t>::max();

inline std::uint32_t bits_of(std::int32_t a) { return static_cast<std::uint32_t>(a); }
inline std::int32_t int_of(std::uint32_t bits) { return static_cast<std::int32_t>(bits); }

inline std::int32_t wrap_add(std::int32_t a, std::int32_t b) { return int_of(bits_of(a) + bits_of(b)); }
inline std::int32_t wrap_sub(std::int32_t a, std::int32_t b) { return int_of(bits_of(a) - bits_of(b)); }
inline std::int32_t wrap_mul(std::int32_t a, std::int32_t b) { return int_of(bits_of(a) * bits_of(b)); }
inline std::int32_t wrap_neg(std::int32_t a) { return int_of(0U - bits_of(a)); }
inline std::int32_t wrap_abs(std::int32_t a) { return a < 0 ? wrap_neg(a) : a; }
inline std::int32_t shift_left(std::int32_t a, std::int32_t b) { return int_of(bits_of(a) << (bits_of(b) & 31U)); }
inline std::int32_t shift_right(std::int32_t a, std::int32_t b) { return a >> (bits_of(b) & 31U); }

inline std::int32_t floor_div(std::int32_t a, std::int32_t b) {
  if (b == 0) return 0;
  if (b == -1) return wrap_neg(a);
  const std::int32_t quotient = a / b;
  return quotient - (a % b != 0 && (a % b < 0) != (b < 0) ? 1 : 0);
}

inline std::int32_t floor_mod(std::int32_t a, std::int32_t b) {
  if (b == 0 || b == -1) return 0;
  const std::int32_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

inline std::int32_t float_to_int(double a) {
  if (a != a) return 0;
  if (a <= kInt32Min) return kInt32Min;
  if (a >= kInt32Max) return kInt32Max;
  return static_cast<std::int32_t>(a);
}

// How a float result is stored. Correct rounding of + - * / sqrt to fp32 through fp64 is exact (53 >= 2 * 24 + 2).
struct RoundToFp32 {
  double operator()(double a) const { return static_cast<double>(static_cast<float>(a)); }
};
struct KeepFp64 {
  double operator()(double a) const { return a; }
};

}  // namespace flexjit::ir
