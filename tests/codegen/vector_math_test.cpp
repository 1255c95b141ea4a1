// Every elementary function of the kernels against fp64 libm, over all floats by a fixed stride of their bit patterns plus the
// edges, on every instruction set this machine can run, in vector and scalar shape.
#include "codegen/vector_math.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "emitted_function.h"

namespace flexjit::testing {
namespace {

using codegen::Emitter;
using codegen::Float;

constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> all_over_the_range(std::uint32_t stride) {
  std::vector<float> values{
      0.0F,      -0.0F,      1.0F,      -1.0F,      kInf,          -kInf,          std::numeric_limits<float>::quiet_NaN(),
      0x1p-149F, -0x1p-149F, 0x1p-126F, -0x1p-126F, 3.4028234e38F, -3.4028234e38F, 127.99999F,
      128.0F,    -126.0F,    -149.5F,   88.72284F};
  for (std::uint64_t bits = 0; bits <= 0xffffffffULL; bits += stride)
    values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  return values;
}

// Distance in units of the last place of the exact value's float; 0 when both are NaN or equal, inf when only one is NaN.
double ulp_error(float got, double exact) {
  const auto expected = static_cast<float>(exact);
  if (std::isnan(got) || std::isnan(expected)) return std::isnan(got) == std::isnan(expected) ? 0 : kInf;
  if (std::isinf(got) || std::isinf(expected)) return got == expected ? 0 : kInf;
  const int exponent = std::max(std::ilogb(exact == 0 ? 1e-300 : exact), -126);
  return std::fabs(static_cast<double>(got) - exact) / std::ldexp(1.0, exponent - 23);
}

struct Case {
  const char* name;
  UnaryBody body;
  double (*exact)(double);
  double ulp;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

const Case kCases[] = {
    {"exp2", codegen::emit_exp2, [](double x) { return std::exp2(x); }, 2},
    {"exp", codegen::emit_exp, [](double x) { return std::exp(x); }, 2},
    {"log", codegen::emit_log, [](double x) { return std::log(x); }, 2},
    {"log2", codegen::emit_log2, [](double x) { return std::log2(x); }, 2},
    {"log1p", codegen::emit_log1p, [](double x) { return std::log1p(x); }, 3},
    {"tanh", codegen::emit_tanh, [](double x) { return std::tanh(x); }, 4},
    {"erf", codegen::emit_erf, [](double x) { return std::erf(x); }, 3},
    {"floor", codegen::emit_floor, [](double x) { return std::floor(x); }, 0},
    {"ceil", codegen::emit_ceil, [](double x) { return std::ceil(x); }, 0},
    {"round", codegen::emit_round, [](double x) { return std::nearbyint(x); }, 0},
};

const plan::Isa kIsas[] = {plan::Isa::kX86_64, plan::Isa::kX86_64_V2, plan::Isa::kX86_64_V3, plan::Isa::kX86_64_V4,
                           plan::Isa::kAArch64};

class VectorMath : public ::testing::TestWithParam<std::tuple<plan::Isa, Case>> {};

TEST_P(VectorMath, StaysWithinItsStatedError) {
  const auto& [isa, c] = GetParam();
  if (!plan::can_execute({isa, ""})) GTEST_SKIP() << "this machine cannot execute " << plan::name_of(isa);
  const EmittedFunction function(isa, [&c = c](Emitter& e, Float x, Float) { return c.body(e, x); });
  const std::vector<float> x = all_over_the_range(6101);
  std::vector<float> y(x.size());
  function(x, x, y);
  double worst = 0;
  std::size_t where = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double error = ulp_error(y[i], c.exact(static_cast<double>(x[i])));
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
    if (!plan::can_execute({GetParam(), ""})) GTEST_SKIP() << "this machine cannot execute " << plan::name_of(GetParam());
  }
};

TEST_P(PerIsa, SineAndCosineUpToTwoToThe30) {
  const EmittedFunction sine(GetParam(), [](Emitter& e, Float x, Float) { return codegen::emit_sin(e, x); });
  const EmittedFunction cosine(GetParam(), [](Emitter& e, Float x, Float) { return codegen::emit_cos(e, x); });
  const std::vector<float> x = all_over_the_range(6101);
  std::vector<float> s(x.size());
  std::vector<float> c(x.size());
  sine(x, x, s);
  cosine(x, x, c);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::isinf(x[i]) || std::isnan(x[i])) {
      EXPECT_TRUE(std::isnan(s[i]) && std::isnan(c[i])) << x[i];
    } else if (std::fabs(x[i]) < 0x1p30F) {
      const auto bound = [](double exact) { return 2 * 0x1p-23 * std::max(std::fabs(exact), 0x1p-24); };
      const double exact_sine = std::sin(static_cast<double>(x[i]));
      const double exact_cosine = std::cos(static_cast<double>(x[i]));
      ASSERT_NEAR(s[i], exact_sine, bound(exact_sine)) << std::hexfloat << x[i];
      ASSERT_NEAR(c[i], exact_cosine, bound(exact_cosine)) << std::hexfloat << x[i];
    }
  }
}

TEST_P(PerIsa, SoftmaxExponentialIsZeroBelowAndKeepsNan) {
  const EmittedFunction function(GetParam(), [](Emitter& e, Float x, Float) { return codegen::emit_exp2_fast(e, x); });
  std::vector<float> x{-kInf, -1e30F, -500.0F, -200.0F, 0.0F, -0.0F, std::numeric_limits<float>::quiet_NaN()};
  for (float v = -126.0F; v <= 127.0F; v += 0.0037F) x.push_back(v);
  std::vector<float> y(x.size());
  function(x, x, y);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(y[i], 0.0F) << x[i];
  EXPECT_EQ(y[4], 1.0F);
  EXPECT_EQ(y[5], 1.0F);
  EXPECT_TRUE(std::isnan(y[6]));
  for (std::size_t i = 7; i < x.size(); ++i) ASSERT_LE(ulp_error(y[i], std::exp2(static_cast<double>(x[i]))), 2.5) << x[i];
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

TEST_P(PerIsa, FloorDivisionAgreesWithPython) {
  const auto body = [](auto emit) {
    return [emit](Emitter& e, Float a, Float b) { return e.bits_as_float(emit(e, e.bits_as_int(a), e.bits_as_int(b))); };
  };
  const EmittedFunction quotient(GetParam(), body(codegen::emit_floor_div));
  const EmittedFunction remainder(GetParam(), body(codegen::emit_floor_mod));
  const std::int32_t edges[] = {0,     1,     -1, 2, -2, 3, 7, -7, 100, 1 << 30, 2147483647, -2147483647, -2147483647 - 1,
                                65537, -65536};
  std::vector<float> a;
  std::vector<float> b;
  for (std::int32_t x : edges) {
    for (std::int32_t y : edges) {
      a.push_back(std::bit_cast<float>(x));
      b.push_back(std::bit_cast<float>(y));
    }
  }
  std::vector<float> q(a.size());
  std::vector<float> r(a.size());
  quotient(a, b, q);
  remainder(a, b, r);
  for (std::size_t i = 0; i < a.size(); ++i) {
    const std::int64_t x = std::bit_cast<std::int32_t>(a[i]);
    const std::int64_t y = std::bit_cast<std::int32_t>(b[i]);
    std::int64_t expected_q = 0;
    std::int64_t expected_r = 0;
    if (y != 0) {
      expected_q = x / y - ((x % y != 0 && (x % y < 0) != (y < 0)) ? 1 : 0);
      expected_r = x - expected_q * y;
    }
    EXPECT_EQ(std::bit_cast<std::int32_t>(q[i]), static_cast<std::int32_t>(expected_q)) << x << " // " << y;
    EXPECT_EQ(std::bit_cast<std::int32_t>(r[i]), static_cast<std::int32_t>(expected_r)) << x << " % " << y;
  }
}

TEST_P(PerIsa, FloatToIntSaturates) {
  const EmittedFunction function(GetParam(),
                                 [](Emitter& e, Float x, Float) { return e.bits_as_float(codegen::emit_float_to_int(e, x)); });
  const std::vector<float> x = all_over_the_range(60013);
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
}  // namespace flexjit::testing
