// Every elementary function of the kernels against fp64 libm: every sign and exponent of a float with edge and random
// mantissas, on every instruction set that can be run here, in vector and scalar shape.
#include "codegen/math/vector_math.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "emitted_function.h"

namespace flexjit::test {
namespace {

using codegen::Emitter;
using codegen::Float;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Zeros, subnormals, infinities and NaN of every kind among them, and the places where a function changes its formula.
std::vector<float> all_over_the_range(int mantissas) {
  std::vector<float> values{127.99999F, 128.0F, -126.0F, -127.0F, -149.0F, -149.5F, -150.0F, 88.72284F, 0.625F, 131071.99F};
  std::mt19937 random(7);
  for (std::uint32_t high = 0; high < 512; ++high) {
    for (int i = 0; i < mantissas; ++i) {
      const std::uint32_t edges[] = {0, 1, 0x7fffff, 0x7ffffe, 0x400000, 0x3fffff};
      const std::uint32_t mantissa = i < 6 ? edges[i] : static_cast<std::uint32_t>(random()) & 0x7fffffU;
      values.push_back(std::bit_cast<float>(high << 23 | mantissa));
    }
  }
  return values;
}

// Distance in units of the last place of the exact value's float, of `least` where that is larger; 0 when both are NaN or
// equal, inf when only one is NaN.
double ulp_error(float got, double exact, double least = 0) {
  const auto expected = static_cast<float>(exact);
  if (std::isnan(got) || std::isnan(expected)) return std::isnan(got) == std::isnan(expected) ? 0 : kInf;
  if (std::isinf(got) || std::isinf(expected)) return got == expected ? 0 : kInf;
  const int exponent = std::max(std::ilogb(std::max({std::fabs(exact), least, 1e-300})), -126);
  return std::fabs(static_cast<double>(got) - exact) / std::ldexp(1.0, exponent - 23);
}

struct Case {
  const char* name;
  UnaryBody body;
  double (*exact)(double);
  double ulp;
  double least = 0;  // results below it count as if they were it
  float lo = -kInf;  // arguments outside [lo, hi] are not the function's
  float hi = kInf;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

constexpr double kTwoToMinus24 = 0x1p-24;

const Case kCases[] = {
    {"exp2_fast", codegen::emit_exp2_fast, [](double x) { return std::exp2(x); }, 2.3, 0, -126, 127},
    {"exp2_coarse", codegen::emit_exp2_coarse, [](double x) { return std::exp2(x); }, 0x1p23 * 1.1e-4 * 2, 0, -126, 127},
    {"exp_fast", codegen::emit_exp_fast, [](double x) { return std::exp(x); }, 2.3 + 0.75 * 88, 0, -87, 88},
    {"exp_fast_near_0", codegen::emit_exp_fast, [](double x) { return std::exp(x); }, 2.3 + 0.75 * 4, 0, -4, 4},
    {"exp2", codegen::emit_exp2, [](double x) { return std::exp2(x); }, 2},
    {"exp", codegen::emit_exp, [](double x) { return std::exp(x); }, 2},
    {"log", codegen::emit_log, [](double x) { return std::log(x); }, 2},
    {"log2", codegen::emit_log2, [](double x) { return std::log2(x); }, 2},
    {"log1p", codegen::emit_log1p, [](double x) { return std::log1p(x); }, 3},
    {"tanh", codegen::emit_tanh, [](double x) { return std::tanh(x); }, 4},
    {"erf", codegen::emit_erf, [](double x) { return std::erf(x); }, 3},
    {"sin", codegen::emit_sin, [](double x) { return std::sin(x); }, 2, kTwoToMinus24},
    {"cos", codegen::emit_cos, [](double x) { return std::cos(x); }, 2, kTwoToMinus24},
    {"floor", codegen::emit_floor, [](double x) { return std::floor(x); }, 0},
    {"ceil", codegen::emit_ceil, [](double x) { return std::ceil(x); }, 0},
    {"round", codegen::emit_round, [](double x) { return std::nearbyint(x); }, 0},
};

const plan::Isa kIsas[] = {plan::Isa::kX86_64, plan::Isa::kX86_64_V2, plan::Isa::kX86_64_V3, plan::Isa::kX86_64_V4,
                           plan::Isa::kAArch64};

class VectorMath : public ::testing::TestWithParam<std::tuple<plan::Isa, Case>> {};

TEST_P(VectorMath, StaysWithinItsStatedError) {
  const auto& [isa, c] = GetParam();
  if (!can_call(isa)) GTEST_SKIP() << "neither this machine nor an emulator executes " << plan::name_of(isa);
  const EmittedFunction function(isa, [&c = c](Emitter& e, Float x, Float) { return c.body(e, x); });
  std::vector<float> x = all_over_the_range(512);
  std::erase_if(x, [&c = c](float value) { return value < c.lo || value > c.hi; });
  std::vector<float> y(x.size());
  function(x, x, y);
  double worst = 0;
  std::size_t where = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double error = ulp_error(y[i], c.exact(static_cast<double>(x[i])), c.least);
    if (error > worst) {
      worst = error;
      where = i;
    }
  }
  RecordProperty("worst_ulp", std::to_string(worst));
  EXPECT_LE(worst, c.ulp) << c.name << "(" << std::hexfloat << x[where] << ") = " << y[where] << ", exact "
                          << c.exact(static_cast<double>(x[where]));
}

INSTANTIATE_TEST_SUITE_P(All, VectorMath, ::testing::Combine(::testing::ValuesIn(kIsas), ::testing::ValuesIn(kCases)),
                         [](const auto& test) {
                           std::string name =
                               std::string(plan::name_of(std::get<0>(test.param))) + "_" + std::get<1>(test.param).name;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

class PerIsa : public ::testing::TestWithParam<plan::Isa> {
 protected:
  void SetUp() override {
    if (!can_call(GetParam())) GTEST_SKIP() << "neither this machine nor an emulator executes " << plan::name_of(GetParam());
  }
};

TEST_P(PerIsa, SoftmaxExponentialIsZeroAtMinusInfinityAndKeepsNan) {
  for (auto* body : {codegen::emit_exp2_fast, codegen::emit_exp2_coarse, codegen::emit_exp_fast}) {
    const EmittedFunction function(GetParam(), [body](Emitter& e, Float x, Float) { return body(e, x); });
    const std::vector<float> x{-kInf, -1e30F, -500.0F, -200.0F, -150.5F, 0.0F, -0.0F, kNan, -126.7F, -127.3F, -130.0F, -148.0F};
    std::vector<float> y(x.size());
    function(x, x, y);
    for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(std::bit_cast<std::uint32_t>(y[i]), 0U) << x[i];
    EXPECT_EQ(y[5], 1.0F);
    EXPECT_EQ(y[6], 1.0F);
    EXPECT_TRUE(std::isnan(y[7]));
    for (std::size_t i = 8; i < x.size(); ++i) {
      EXPECT_GE(y[i], 0.0F) << x[i];
      const float exact = body == codegen::emit_exp_fast ? std::exp(x[i]) : std::exp2(x[i]);
      EXPECT_LE(y[i], exact * 1.001F + 0x1p-149F) << x[i];
    }
  }
}

TEST_P(PerIsa, SigmoidKeepsItsDigitsAndIsZeroWhereMasked) {
  const EmittedFunction function(GetParam(), [](Emitter& e, Float x, Float) { return codegen::emit_sigmoid(e, x); });
  std::vector<float> x = all_over_the_range(64);
  std::vector<float> y(x.size());
  function(x, x, y);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto value = static_cast<double>(x[i]);
    const double exact = 1 / (1 + std::exp(-value));
    if (std::isnan(exact)) {
      EXPECT_TRUE(std::isnan(y[i]));
    } else if (x[i] == -kInf) {
      EXPECT_EQ(std::bit_cast<std::uint32_t>(y[i]), 0U);
    } else {
      const double relative = (2 + std::min(std::fabs(value), 200.0)) * 0x1p-23;
      ASSERT_NEAR(static_cast<double>(y[i]), exact, exact * relative + 0x1p-126) << std::hexfloat << x[i];
    }
  }
}

TEST_P(PerIsa, OddFunctionsKeepTheSignOfZero) {
  for (auto* body : {codegen::emit_tanh, codegen::emit_erf}) {
    const EmittedFunction function(GetParam(), [body](Emitter& e, Float x, Float) { return body(e, x); });
    const std::vector<float> x(17, -0.0F);
    std::vector<float> y(x.size(), 1.0F);
    function(x, x, y);
    for (float value : y) EXPECT_EQ(std::bit_cast<std::uint32_t>(value), 0x80000000U);
  }
}

TEST_P(PerIsa, LogarithmsAreExactAtPowersOfTwo) {
  const EmittedFunction function(GetParam(), [](Emitter& e, Float x, Float) { return codegen::emit_log2(e, x); });
  std::vector<float> x;
  for (int k = -149; k < 128; ++k) x.push_back(std::ldexp(1.0F, k));
  std::vector<float> y(x.size());
  function(x, x, y);
  for (int k = -149; k < 128; ++k) EXPECT_EQ(y[static_cast<std::size_t>(k + 149)], static_cast<float>(k));
}

TEST_P(PerIsa, PowerMatchesLibm) {
  const EmittedFunction function(GetParam(), [](Emitter& e, Float x, Float y) { return codegen::emit_pow(e, x, y); });
  const float bases[] = {0.0F,    -0.0F, 1.0F,  -1.0F, 2.0F,   -2.0F, 0.5F,  1e-40F,
                         1.0001F, 3.7F,  -3.7F, 1e30F, -1e30F, kInf,  -kInf, std::numeric_limits<float>::quiet_NaN()};
  const float exponents[] = {
      0.0F,        1.0F,     -1.0F, 2.0F,    3.0F,     -3.0F, 0.5F,  -0.5F,
      1.5F,        10.0F,    33.0F, 1000.0F, -1000.0F, kInf,  -kInf, std::numeric_limits<float>::quiet_NaN(),
      16777217.0F, 2.000001F};
  std::vector<float> x;
  std::vector<float> p;
  for (float base : bases) {
    for (float exponent : exponents) {
      x.push_back(base);
      p.push_back(exponent);
    }
  }
  for (int i = 0; i < 20000; ++i) {
    x.push_back(std::exp(static_cast<float>(i % 199) * 0.17F - 17.0F));
    p.push_back(static_cast<float>(i % 211) * 0.047F - 5.0F);
  }
  std::vector<float> y(x.size());
  function(x, p, y);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = std::pow(static_cast<double>(x[i]), static_cast<double>(p[i]));
    const auto rounded = static_cast<float>(exact);
    if (!std::isnan(rounded)) {
      EXPECT_EQ(std::signbit(y[i]), std::signbit(rounded)) << x[i] << " ^ " << p[i] << " = " << y[i] << " exact " << exact;
    }
    EXPECT_LE(ulp_error(y[i], exact), 4) << x[i] << " ^ " << p[i] << " = " << y[i] << " exact " << exact;
  }
}

TEST_P(PerIsa, FloatToIntSaturates) {
  const EmittedFunction function(GetParam(),
                                 [](Emitter& e, Float x, Float) { return e.bits_as_float(codegen::emit_float_to_int(e, x)); });
  const std::vector<float> x = all_over_the_range(32);
  std::vector<float> y(x.size());
  function(x, x, y);
  for (std::size_t i = 0; i < x.size(); ++i) {
    std::int32_t expected = 0;
    if (!std::isnan(x[i])) {
      expected = x[i] >= 2147483648.0F ? 2147483647 : x[i] < -2147483648.0F ? -2147483647 - 1 : static_cast<std::int32_t>(x[i]);
    }
    EXPECT_EQ(std::bit_cast<std::int32_t>(y[i]), expected) << x[i];
  }
}

INSTANTIATE_TEST_SUITE_P(All, PerIsa, ::testing::ValuesIn(kIsas), [](const auto& test) {
  std::string name(plan::name_of(test.param));
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

}  // namespace
}  // namespace flexjit::test
