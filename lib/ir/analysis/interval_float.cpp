// Ranges of floats. Correctly rounded operations are monotone, so rounding the bounds bounds the rounded values. Functions that
// a kernel approximates get kSlack on both sides, more than the error bounds of lib/codegen's vector math; powers of two and
// their logarithms are exact there, which is what integer code made of floats relies on.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/analysis/interval_arithmetic.h"
#include "support/check.h"

namespace flexjit::ir {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kSlack = 0x1p-20;     // relative: 8 ulps of fp32
constexpr double kPowSlack = 0x1p-17;  // pow carries the error of a product in its exponent
constexpr double kTiny = 0x1p-120;     // absolute: more than any subnormal, should a kernel flush them
constexpr Range kOnlyNan{kInf, -kInf, true};

double to_fp32(double a) { return static_cast<double>(static_cast<float>(a)); }

Range widened(const Range& a, double relative) {
  if (is_empty(a)) return a;
  auto slack = [&](double bound) { return std::isinf(bound) ? 0 : std::fabs(bound) * relative + kTiny; };
  return rounded({a.lo - slack(a.lo), a.hi + slack(a.hi), a.may_nan});
}

Range add(const Range& a, const Range& b) {
  if (is_empty(a) || is_empty(b)) return kOnlyNan;
  const bool opposite = (a.hi == kInf && b.lo == -kInf) || (a.lo == -kInf && b.hi == kInf);
  const double lo = a.lo + b.lo;
  const double hi = a.hi + b.hi;
  return rounded({std::isnan(lo) ? -kInf : lo, std::isnan(hi) ? kInf : hi, a.may_nan || b.may_nan || opposite});
}

Range negate(const Range& a) { return {-a.hi, -a.lo, a.may_nan}; }

// The range of f over the corners, or anything where a corner has no value.
template <typename F>
Range of_corners(const Range& a, const Range& b, F f) {
  const double corners[] = {f(a.lo, b.lo), f(a.lo, b.hi), f(a.hi, b.lo), f(a.hi, b.hi)};
  if (std::ranges::any_of(corners, [](double x) { return std::isnan(x); })) return any_float();
  const auto [lo, hi] = std::ranges::minmax(corners);
  return {lo, hi, a.may_nan || b.may_nan};
}

bool unbounded(const Range& a) { return a.lo == -kInf || a.hi == kInf; }

Range multiply(const Range& a, const Range& b) {
  if (is_empty(a) || is_empty(b)) return kOnlyNan;
  if ((unbounded(a) && contains(b, 0)) || (unbounded(b) && contains(a, 0))) return any_float();
  return rounded(of_corners(a, b, [](double x, double y) { return x * y; }));
}

Range divide(const Range& a, const Range& b) {
  if (is_empty(a) || is_empty(b)) return kOnlyNan;
  if (contains(b, 0)) return any_float();
  return rounded(of_corners(a, b, [](double x, double y) { return x / y; }));
}

Range map_exact(const Range& a, double (*f)(double)) { return is_empty(a) ? kOnlyNan : Range{f(a.lo), f(a.hi), a.may_nan}; }

bool is_power_of_two(double a) { return a > 0 && std::isfinite(a) && std::ilogb(a) >= -126 && std::exp2(std::ilogb(a)) == a; }
bool is_exponent(double a) { return a >= -126 && a <= 127 && a == std::floor(a); }

// The range of f as widened, with the bounds that f has exactly where `is_exact` holds of the argument.
Range with_exact_bounds(const Range& a, Range values, double (*f)(double), bool (*is_exact)(double)) {
  if (is_exact(a.lo)) values.lo = f(a.lo);
  if (is_exact(a.hi)) values.hi = f(a.hi);
  return values;
}

// An increasing function whose domain begins at `domain`.
Range map_increasing(const Range& a, double (*f)(double), double domain = -kInf) {
  if (is_empty(a) || a.hi < domain) return kOnlyNan;
  return widened({f(std::max(a.lo, domain)), f(a.hi), a.may_nan || a.lo < domain}, kSlack);
}

Range at_least_zero(Range a) {
  if (!is_empty(a)) a.lo = std::max(a.lo, 0.0);
  return a;
}

Range square_root(const Range& a) {
  if (is_empty(a) || a.hi < 0) return kOnlyNan;
  return at_least_zero(rounded({std::sqrt(std::max(a.lo, 0.0)), std::sqrt(a.hi), a.may_nan || a.lo < 0}));
}

// The floor of the exact quotient: a quotient that was rounded up to an integer is one less.
Range floor_quotient(const Range& a, const Range& b) {
  const Range quotient = divide(a, b);
  if (is_empty(quotient)) return quotient;
  return rounded({std::floor(std::nextafter(quotient.lo, -kInf)), std::floor(quotient.hi), quotient.may_nan});
}

// In [0, b] for b > 0, in [b, 0] for b < 0, and a itself where a is between 0 and b.
Range modulo(const Range& a, const Range& b) {
  if (is_empty(a) || is_empty(b)) return kOnlyNan;
  const bool nan = a.may_nan || b.may_nan || unbounded(a) || contains(b, 0);
  if (!nan && a.lo >= 0 && a.hi < b.lo) return a;
  return {std::min(b.lo, 0.0), std::max(b.hi, 0.0), nan};
}

// min and max of numbers; where either may be NaN the result may be b, NaN included.
Range pick(const Range& a, const Range& b, double (*f)(double, double)) {
  if (is_empty(a) || is_empty(b)) return b;
  const Range numbers{f(a.lo, b.lo), f(a.hi, b.hi), b.may_nan};
  return a.may_nan ? join(numbers, b) : numbers;
}

Range smaller(const Range& a, const Range& b) {
  return pick(a, b, [](double p, double q) { return std::min(p, q); });
}
Range larger(const Range& a, const Range& b) {
  return pick(a, b, [](double p, double q) { return std::max(p, q); });
}

Range absolute(const Range& a) {
  if (is_empty(a)) return a;
  const double nearest = contains(a, 0) ? 0 : std::min(std::fabs(a.lo), std::fabs(a.hi));
  return {nearest, std::max(std::fabs(a.lo), std::fabs(a.hi)), a.may_nan};
}

Range wave(const Range& a) {
  if (is_empty(a)) return kOnlyNan;
  return {-1 - kSlack, 1 + kSlack, a.may_nan || unbounded(a)};
}

// b * log(a) is monotone in each operand, so the corners bound a power of non-negatives.
Range power(const Range& a, const Range& b) {
  const bool negative_zero = a.lo <= 0 && b.lo < 0;  // pow(-0, -1) is -inf
  if (is_empty(a) || is_empty(b) || a.lo < 0 || negative_zero) return any_float();
  return at_least_zero(widened(of_corners(a, b, [](double x, double y) { return std::pow(x, y); }), kPowSlack));
}

}  // namespace

Range any_float() { return {-kInf, kInf, true}; }

Range rounded(const Range& a) {
  if (is_empty(a)) return a;
  return {std::min(a.lo, to_fp32(a.lo)), std::max(a.hi, to_fp32(a.hi)), a.may_nan};
}

// Of the operations that are about floats; a test holds them to ops.def.
Range float_range_of(Op op, const RangeOperands& x) {
  const Range& a = x.front();
  const Range& b = x.back();
  switch (op) {
    case Op::kNeg: return negate(a);
    case Op::kAdd: return add(a, b);
    case Op::kSub: return add(a, negate(b));
    case Op::kMul: return multiply(a, b);
    case Op::kDiv: return divide(a, b);
    case Op::kFloorDiv: return floor_quotient(a, b);
    case Op::kMod: return modulo(a, b);
    case Op::kMin: return smaller(a, b);
    case Op::kMax: return larger(a, b);
    case Op::kClamp: return smaller(larger(a, x[1]), x[2]);
    case Op::kAbs: return absolute(a);
    case Op::kFloor: return map_exact(a, std::floor);
    case Op::kCeil: return map_exact(a, std::ceil);
    case Op::kRound: return map_exact(a, std::nearbyint);
    case Op::kSqrt: return square_root(a);
    case Op::kExp: return at_least_zero(map_increasing(a, std::exp));
    case Op::kExp2: return with_exact_bounds(a, at_least_zero(map_increasing(a, std::exp2)), std::exp2, is_exponent);
    case Op::kLog: return map_increasing(a, std::log, 0);
    case Op::kLog2: return with_exact_bounds(a, map_increasing(a, std::log2, 0), std::log2, is_power_of_two);
    case Op::kLog1p: return map_increasing(a, std::log1p, -1);
    case Op::kTanh: return map_increasing(a, std::tanh);
    case Op::kErf: return map_increasing(a, std::erf);
    case Op::kSin:
    case Op::kCos: return wave(a);
    case Op::kPow: return power(a, b);
    default: break;
  }
  FLEXJIT_CHECK(false, std::string(mnemonic(op)) + " has no range of floats");
  return {};
}

}  // namespace flexjit::ir
