// Floor division and modulo of floats, fp32 and fp64, against exact arithmetic: integers of 128 bits where the exponents are
// near enough for them, C's fmod where they are not. The interpreter's functions must give the same bits as the emitted ones.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "codegen/math/vector_math.h"
#include "emitted_function.h"
#include "support/checklist.h"
#include "support/floor_division.h"

namespace flexjit::test {
namespace {

using codegen::Emitter;
using codegen::Float;
using Int128 = __int128;

constexpr double kInf = std::numeric_limits<double>::infinity();

struct Case {
  double a, b;
};

// a = x 2^e and b = y 2^e with |x|, |y| below 2^120: the exact floor of x / y, and the exact rest in units of 2^e.
struct Exact {
  double quotient, rest;
};

std::optional<Exact> exact_division(double a, double b) {
  if (!std::isfinite(a) || !std::isfinite(b) || a == 0 || b == 0) return std::nullopt;
  const int unit = std::min(std::ilogb(a), std::ilogb(b)) - 52;
  if (std::max(std::ilogb(a), std::ilogb(b)) - unit > 120 || unit < -1022) return std::nullopt;
  const auto scaled = [&](double value) {
    int exponent = 0;
    const double significand = std::frexp(value, &exponent);  // in 53 bits
    return static_cast<Int128>(std::ldexp(significand, 53)) * (static_cast<Int128>(1) << (exponent - 53 - unit));
  };
  const Int128 x = scaled(a), y = scaled(b);
  Int128 quotient = x / y;
  if (x % y != 0 && (x < 0) != (y < 0)) --quotient;
  return Exact{static_cast<double>(quotient), std::ldexp(static_cast<double>(x - quotient * y), unit)};
}

std::vector<Case> cases(bool is_fp32) {
  std::vector<Case> all{{1e9, 3},      {-1e9, 3},     {1e9, -3},      {1, 0.1},     {7.5, 2}, {-7.5, 2}, {0.0, 3},
                        {-0.0, 3},     {6, 3},        {6, -3},        {1, 0},       {0, 0},   {kInf, 2}, {2, kInf},
                        {-2, kInf},    {kInf, kInf},  {2, -kInf},     {-kInf, 3},   {NAN, 2}, {2, NAN},  {3e38, 7},
                        {3e38, 1e-45}, {1e-45, 3e38}, {-1e-45, 3e38}, {1e30, 1e-30}};
  if (!is_fp32) {
    for (Case c :
         {Case{1e308, 3}, {1.7e308, 5e-324}, {1.7e308, 3e-320}, {-1e300, 1e-300}, {5e-324, 1e308}, {1e22, 0.1}, {1e16, 3}})
      all.push_back(c);
  }
  std::mt19937_64 random(5);
  const int significant = is_fp32 ? 24 : 53, range = is_fp32 ? 140 : 1040;
  const auto number = [&](int exponent) {
    const double magnitude = std::ldexp(static_cast<double>(random() >> (64 - significant)) + 1, exponent - significant);
    const double value = random() % 2 == 0 ? magnitude : -magnitude;
    return is_fp32 ? static_cast<double>(static_cast<float>(value)) : value;
  };
  for (int i = 0; i < 30000; ++i) {
    const int near = static_cast<int>(random() % 120) - 60;
    const int far = static_cast<int>(random() % static_cast<unsigned>(2 * range)) - range;
    const double b = number(i % 3 == 0 ? far : near / 2);
    // Multiples of b and their neighbours, numbers of every size.
    const double multiple = std::round(number(near)) * b;
    const double beside =
        is_fp32 ? static_cast<double>(std::nextafter(static_cast<float>(multiple), INFINITY)) : std::nextafter(multiple, kInf);
    all.push_back({i % 4 == 0 ? multiple : i % 4 == 1 ? beside : number(i % 3 == 0 ? far : near), b});
    if (is_fp32) all.back().a = static_cast<double>(static_cast<float>(all.back().a));
  }
  return all;
}

bool same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

double rounded(double value, bool is_fp32) { return is_fp32 ? static_cast<double>(static_cast<float>(value)) : value; }

// What C's fmod says of any operands.
double expected_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) == (b < 0) ? rest : rest + b;
}

void expect_right(const Case& c, double quotient, double rest, bool is_fp32) {
  EXPECT_TRUE(same(rest, rounded(expected_modulo(c.a, c.b), is_fp32))) << c.a << " % " << c.b << " = " << rest;
  EXPECT_TRUE(same(rest, rounded(support::floor_modulo(c.a, c.b), is_fp32))) << c.a << " % " << c.b << " = " << rest;
  EXPECT_TRUE(same(quotient, rounded(support::floor_quotient(c.a, c.b), is_fp32))) << c.a << " // " << c.b << " = " << quotient;
  const std::optional<Exact> exact = exact_division(c.a, c.b);
  if (!exact) return;
  EXPECT_EQ(rest, rounded(exact->rest, is_fp32)) << c.a << " % " << c.b;
  if (std::fabs(exact->quotient) < 0x1p51) {
    EXPECT_EQ(quotient, rounded(exact->quotient, is_fp32)) << c.a << " // " << c.b;
  } else {
    EXPECT_NEAR(quotient, exact->quotient, std::fabs(exact->quotient) * (is_fp32 ? 0x1p-23 : 0x1p-51)) << c.a << " // " << c.b;
  }
}

class Modulo : public ::testing::TestWithParam<plan::Isa> {
 protected:
  void SetUp() override {
    if (!can_call(GetParam())) GTEST_SKIP() << "neither this machine nor an emulator executes " << plan::name_of(GetParam());
  }
};

TEST_P(Modulo, Fp32) {
  covers("C21");
  const EmittedFunction quotient(GetParam(), [](Emitter& e, Float a, Float b) { return codegen::emit_floor_div(e, a, b); });
  const EmittedFunction rest(GetParam(), [](Emitter& e, Float a, Float b) { return codegen::emit_floor_mod(e, a, b); });
  const std::vector<Case> all = cases(true);
  std::vector<float> a, b, q(all.size()), r(all.size());
  for (const Case& c : all) {
    a.push_back(static_cast<float>(c.a));
    b.push_back(static_cast<float>(c.b));
  }
  quotient(a, b, q);
  rest(a, b, r);
  for (std::size_t i = 0; i < all.size() && !HasFailure(); ++i) {
    expect_right({static_cast<double>(a[i]), static_cast<double>(b[i])}, static_cast<double>(q[i]), static_cast<double>(r[i]),
                 true);
  }
}

// One half of the bits of body(a, divisor), for a double a whose halves the two operands hold.
BinaryBody half_of(Float (*body)(Emitter&, Float, Float), double divisor, unsigned shift) {
  return [=](Emitter& e, Float high, Float low) {
    auto& ir = e.ir();
    auto* i64 = e.shaped(ir.getInt64Ty(), high.value);
    auto* f64 = e.shaped(ir.getDoubleTy(), high.value);
    auto* bits = ir.CreateOr(ir.CreateShl(ir.CreateZExt(e.bits_as_int(high).value, i64), std::uint64_t{32}),
                             ir.CreateZExt(e.bits_as_int(low).value, i64));
    const Float y = body(e, Float{ir.CreateBitCast(bits, f64)}, Float{llvm::ConstantFP::get(f64, divisor)});
    auto* half = ir.CreateLShr(ir.CreateBitCast(y.value, i64), std::uint64_t{shift});
    return e.bits_as_float(codegen::Int{ir.CreateTrunc(half, e.shaped(ir.getInt32Ty(), high.value))});
  };
}

std::vector<double> of_doubles(plan::Isa isa, Float (*body)(Emitter&, Float, Float), const std::vector<double>& a,
                               double divisor) {
  std::vector<float> high, low, upper(a.size()), lower(a.size());
  for (double value : a) {
    const auto bits = std::bit_cast<std::uint64_t>(value);
    high.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits >> 32)));
    low.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  }
  EmittedFunction(isa, half_of(body, divisor, 32))(high, low, upper);
  EmittedFunction(isa, half_of(body, divisor, 0))(high, low, lower);
  std::vector<double> y;
  for (std::size_t i = 0; i < a.size(); ++i) {
    y.push_back(std::bit_cast<double>(std::uint64_t{std::bit_cast<std::uint32_t>(upper[i])} << 32 |
                                      std::bit_cast<std::uint32_t>(lower[i])));
  }
  return y;
}

// The divisor is a constant, because a double takes both arrays.
TEST_P(Modulo, Fp64) {
  std::vector<double> a;
  for (const Case& c : cases(false)) a.push_back(c.a);
  for (double b : {3.0, -0.1, 5e-324, 3e-320, 1e300, 1e-300, 0x1.fffffffffffffp0, kInf, 0.0}) {
    const std::vector<double> q = of_doubles(GetParam(), codegen::emit_floor_div, a, b);
    const std::vector<double> r = of_doubles(GetParam(), codegen::emit_floor_mod, a, b);
    for (std::size_t i = 0; i < a.size() && !HasFailure(); ++i) expect_right({a[i], b}, q[i], r[i], false);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Modulo,
                         ::testing::Values(plan::Isa::kX86_64, plan::Isa::kX86_64_V2, plan::Isa::kX86_64_V3,
                                           plan::Isa::kX86_64_V4, plan::Isa::kAArch64),
                         [](const auto& test) {
                           std::string name(plan::name_of(test.param));
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace flexjit::test
