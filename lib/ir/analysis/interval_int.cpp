// Ranges of ints. Bounds are exact in double up to 2^53: of 32-bit ints always, of longs where they are not larger. A result
// that leaves the 32 bits wraps, and is then any int; a long that leaves the 53 bits is any long.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "ir/analysis/interval_arithmetic.h"
#include "ir/evaluate/arithmetic.h"
#include "support/check.h"

namespace flexjit::ir {
namespace {

constexpr double kNoBound = std::numeric_limits<double>::infinity();
constexpr double kExact = 0x1p53;

bool is_exact(const Range& a) { return a.lo >= -kExact && a.hi <= kExact; }

std::int64_t whole(double a) { return static_cast<std::int64_t>(a); }

// The range of f over the corners: for operations that are monotone in each operand.
template <typename F>
Range of_int_corners(const Range& a, const Range& b, F f) {
  const auto [lo, hi] = std::minmax({f(a.lo, b.lo), f(a.lo, b.hi), f(a.hi, b.lo), f(a.hi, b.hi)});
  return {lo, hi, false};
}

Range multiply_ints(const Range& a, const Range& b) {
  return of_int_corners(a, b, [](double x, double y) { return x * y; });
}

// f over the negative, the positive and the zero part of b; a division by zero gives 0.
template <typename F>
Range by_sign(const Range& a, const Range& b, F f) {
  Range result{kNoBound, -kNoBound, false};
  if (b.lo < 0) result = join(result, f(a, {b.lo, std::min(b.hi, -1.0), false}));
  if (b.hi > 0) result = join(result, f(a, {std::max(b.lo, 1.0), b.hi, false}));
  if (contains(b, 0)) result = join(result, Range::point(0));
  return result;
}

double floor_int_quotient(double a, double b) {
  const std::int64_t x = whole(a);
  const std::int64_t y = whole(b);
  const std::int64_t quotient = x / y;
  return static_cast<double>(quotient - (x % y != 0 && (x % y < 0) != (y < 0) ? 1 : 0));
}

Range divide_ints(const Range& a, const Range& b) {
  return by_sign(a, b, [](const Range& x, const Range& y) { return of_int_corners(x, y, floor_int_quotient); });
}

// b is all positive.
Range positive_modulo(const Range& a, const Range& b) {
  if (b.is_point()) {
    const double period = floor_int_quotient(a.lo, b.lo);
    if (period == floor_int_quotient(a.hi, b.lo)) return {a.lo - period * b.lo, a.hi - period * b.lo, false};
  }
  if (a.lo >= 0 && a.hi < b.lo) return a;
  return {0, a.lo >= 0 ? std::min(a.hi, b.hi - 1) : b.hi - 1, false};
}

// a mod -b = -(-a mod b): the sign of the result is that of the divisor.
Range modulo_ints(const Range& a, const Range& b) {
  return by_sign(a, b, [](const Range& x, const Range& y) {
    if (y.lo > 0) return positive_modulo(x, y);
    const Range mirrored = positive_modulo({-x.hi, -x.lo, false}, {-y.hi, -y.lo, false});
    return Range{-mirrored.hi, -mirrored.lo, false};
  });
}

Range absolute_int(const Range& a) {
  if (a.lo >= 0) return a;
  return {std::max(-a.hi, 0.0), std::max(-a.lo, a.hi), false};  // |INT_MIN| leaves the 32 bits, as it wraps
}

// The least 2^k with every value of both in [-2^k, 2^k).
double power_above(const Range& a, const Range& b) {
  const double largest = std::max({-a.lo - 1, a.hi, -b.lo - 1, b.hi, 0.0});
  double power = 1;
  while (power <= largest) power *= 2;
  return power;
}

Range complement(const Range& a) { return {-1 - a.hi, -1 - a.lo, false}; }

Range bit_and(const Range& a, const Range& b) {
  if (b.is_point() && b.lo >= 0 && (whole(b.lo) & (whole(b.lo) + 1)) == 0) {  // a low mask is a modulo
    return positive_modulo(a, Range::point(b.lo + 1));
  }
  if (a.lo >= 0 && b.lo >= 0) return {0, std::min(a.hi, b.hi), false};
  if (a.lo >= 0 || b.lo >= 0) return {0, a.lo >= 0 ? a.hi : b.hi, false};
  return {-power_above(a, b), std::max(a.hi, b.hi), false};
}

Range bit_or(const Range& a, const Range& b) {
  if (a.lo >= 0 && b.lo >= 0) return {std::max(a.lo, b.lo), power_above(a, b) - 1, false};
  return complement(bit_and(complement(a), complement(b)));
}

Range bit_xor(const Range& a, const Range& b) {
  const double power = power_above(a, b);
  const bool same_sign = (a.lo >= 0 && b.lo >= 0) || (a.hi < 0 && b.hi < 0);
  return {same_sign ? 0 : -power, power - 1, false};
}

// All ints of a range agree in the bits above the highest in which its ends differ; so does what is made of them. Nothing is
// known where that bit is the sign.
Range of_common_bits(Op op, const Range& a, const Range& b) {
  const auto x = static_cast<std::uint64_t>(whole(a.lo)), y = static_cast<std::uint64_t>(whole(b.lo));
  const std::uint64_t differing = (x ^ static_cast<std::uint64_t>(whole(a.hi))) | (y ^ static_cast<std::uint64_t>(whole(b.hi)));
  if (std::countl_zero(differing) == 0) return {-kNoBound, kNoBound, false};
  const std::uint64_t open = differing == 0 ? 0 : ~std::uint64_t{0} >> std::countl_zero(differing);
  const std::uint64_t value = op == Op::kAnd ? x & y : op == Op::kOr ? x | y : x ^ y;
  const auto bound = [](std::uint64_t bits) { return static_cast<double>(static_cast<std::int64_t>(bits)); };
  return {bound(value & ~open), bound(value | open), false};
}

Range bitwise(Op op, const Range& a, const Range& b) {
  const Range bits = of_common_bits(op, a, b);
  Range values = op == Op::kOr ? bit_or(a, b) : bit_xor(a, b);
  if (op == Op::kAnd) values = a.is_point() ? bit_and(b, a) : bit_and(a, b);
  return {std::max(bits.lo, values.lo), std::min(bits.hi, values.hi), false};
}

// Only the low bits of a count matter; outside [0, most] the count is unknown.
Range shift_count(const Range& b, std::int64_t most) {
  if (b.is_point()) return Range::point(static_cast<double>(whole(b.lo) & most));
  const auto limit = static_cast<double>(most);
  return b.lo >= 0 && b.hi <= limit ? b : Range{0, limit, false};
}

Range shift(Op op, Type type, const Range& a, const Range& b) {
  const Range count = shift_count(b, type == Type::kLong ? kCountMask<std::int64_t> : kCountMask<std::int32_t>);
  if (op == Op::kShl) return multiply_ints(a, {std::ldexp(1.0, int(count.lo)), std::ldexp(1.0, int(count.hi)), false});
  return of_int_corners(a, count, [](double x, double n) { return std::floor(std::ldexp(x, -int(n))); });
}

// What is known of longs some of whose bounds are not exact: what needs no arithmetic on them.
Range inexact_range_of(Op op, const Range& a, const Range& b) {
  if (op == Op::kMin) return {std::min(a.lo, b.lo), std::min(a.hi, b.hi), false};
  if (op == Op::kMax) return {std::max(a.lo, b.lo), std::max(a.hi, b.hi), false};
  if (op == Op::kAnd && b.lo >= 0) return {0, a.lo >= 0 ? std::min(a.hi, b.hi) : b.hi, false};
  if (op == Op::kAnd && a.lo >= 0) return {0, a.hi, false};
  if (op == Op::kMod && b.lo > 0 && is_exact(b)) return {0, b.hi - 1, false};
  if (op == Op::kShr && is_exact(b)) return shift(op, Type::kLong, a, b);
  return kAnyLong;
}

// Of the operations that are about ints, as if nothing wrapped; a test holds them to ops.def.
Range unlimited_range_of(Op op, Type type, const Range& a, const Range& b) {
  switch (op) {
    case Op::kNeg: return {-a.hi, -a.lo, false};
    case Op::kAdd: return {a.lo + b.lo, a.hi + b.hi, false};
    case Op::kSub: return {a.lo - b.hi, a.hi - b.lo, false};
    case Op::kMul: return multiply_ints(a, b);
    case Op::kFloorDiv: return divide_ints(a, b);
    case Op::kMod: return modulo_ints(a, b);
    case Op::kMin: return {std::min(a.lo, b.lo), std::min(a.hi, b.hi), false};
    case Op::kMax: return {std::max(a.lo, b.lo), std::max(a.hi, b.hi), false};
    case Op::kAbs: return absolute_int(a);
    case Op::kAnd:
    case Op::kOr:
    case Op::kXor: return bitwise(op, a, b);
    case Op::kNot: return complement(a);
    case Op::kShl:
    case Op::kShr: return shift(op, type, a, b);
    default: break;
  }
  FLEXJIT_CHECK(false, std::string(mnemonic(op)) + " has no range of ints");
  return {};
}

}  // namespace

Range int_range_of(Op op, Type type, const RangeOperands& x) {
  const Range& a = x.front();
  const Range& b = x.back();
  const bool is_long = type == Type::kLong;
  if (is_long && !(is_exact(a) && is_exact(b))) return inexact_range_of(op, a, b);
  const Range range = unlimited_range_of(op, type, a, b);
  const double least = is_long ? -kExact : kIntMin, most = is_long ? kExact : kIntMax;
  if (range.lo < least || range.hi > most) return any_of(type);
  return {range.lo + 0.0, range.hi + 0.0, false};  // the sum with 0 turns -0 into 0
}

}  // namespace flexjit::ir
