// The fp64 functions against long double libm: every sign and exponent of a double with edge and random mantissas. The halves
// of a double pass through the fp32 arrays of EmittedFunction as bits.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "codegen/math/math_f64.h"
#include "codegen/math/vector_math.h"
#include "emitted_function.h"

namespace flexjit::test {
namespace {

using codegen::Emitter;
using codegen::Float;
using codegen::Int;

constexpr double kInf = std::numeric_limits<double>::infinity();

std::vector<double> all_over_the_range(int mantissas) {
  std::vector<double> values{0.5,
                             1.0,
                             -1.0,
                             6.0,
                             20.0,
                             709.78,
                             709.79,
                             -745.1,
                             -745.2,
                             -1022.5,
                             1e-18,
                             1e20,
                             1048575.9,
                             1048576.1,
                             1e22,
                             0.1,
                             1.5707963267948966,
                             355.0,
                             1e300};
  std::mt19937_64 random(11);
  for (std::uint64_t high = 0; high < 4096; ++high) {
    for (int i = 0; i < mantissas; ++i) {
      const std::uint64_t mantissa = i == 0 ? 0 : i == 1 ? 0xfffffffffffff : random() & 0xfffffffffffff;
      values.push_back(std::bit_cast<double>(high << 52 | mantissa));
    }
  }
  // Where the functions are neither 0, x, nor infinite.
  for (int i = 0; i < 20000; ++i) values.push_back(std::ldexp(static_cast<double>(random() >> 11) * 0x1p-52 - 1, i % 22 - 10));
  return values;
}

// body over doubles, by way of two functions that each give one half of the result.
class DoubleFunction {
 public:
  DoubleFunction(plan::Isa isa, const UnaryBody& body) : high_(isa, half_of(body, 32)), low_(isa, half_of(body, 0)) {}

  std::vector<double> operator()(const std::vector<double>& x) const {
    std::vector<float> a, b, high(x.size()), low(x.size());
    for (double value : x) {
      const auto bits = std::bit_cast<std::uint64_t>(value);
      a.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits >> 32)));
      b.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
    }
    high_(a, b, high);
    low_(a, b, low);
    std::vector<double> y;
    for (std::size_t i = 0; i < x.size(); ++i) {
      y.push_back(std::bit_cast<double>(std::uint64_t{std::bit_cast<std::uint32_t>(high[i])} << 32 |
                                        std::bit_cast<std::uint32_t>(low[i])));
    }
    return y;
  }

 private:
  static BinaryBody half_of(const UnaryBody& body, std::uint64_t shift) {
    return [body, shift](Emitter& e, Float a, Float b) {
      auto& ir = e.ir();
      auto* i64 = e.shaped(ir.getInt64Ty(), a.value);
      auto* high = ir.CreateShl(ir.CreateZExt(e.bits_as_int(a).value, i64), std::uint64_t{32});
      auto* bits = ir.CreateOr(high, ir.CreateZExt(e.bits_as_int(b).value, i64));
      const Float y = body(e, Float{ir.CreateBitCast(bits, e.shaped(ir.getDoubleTy(), a.value))});
      auto* half = ir.CreateLShr(ir.CreateBitCast(y.value, i64), shift);
      return e.bits_as_float(Int{ir.CreateTrunc(half, e.shaped(ir.getInt32Ty(), a.value))});
    };
  }
  EmittedFunction high_, low_;
};

double ulp_error(double got, long double exact, double least) {
  const auto expected = static_cast<double>(exact);
  if (std::isnan(got) || std::isnan(expected)) return std::isnan(got) == std::isnan(expected) ? 0 : kInf;
  if (std::isinf(got) || std::isinf(expected)) return got == expected ? 0 : kInf;
  const long double size = std::max({std::fabs(exact), static_cast<long double>(least), 1e-4000L});
  const int exponent = std::max(std::ilogb(size), -1022);
  return static_cast<double>(std::fabs(static_cast<long double>(got) - exact) / std::ldexp(1.0L, exponent - 52));
}

struct Case {
  const char* name;
  UnaryBody body;
  long double (*exact)(long double);
  double ulp;
  double least = 0;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

const Case kCases[] = {
    {"exp2_fast", codegen::emit_exp2_fast, [](long double x) { return std::exp2(x); }, 2},
    {"exp2", codegen::emit_exp2, [](long double x) { return std::exp2(x); }, 2},
    {"exp", codegen::emit_exp, [](long double x) { return std::exp(x); }, 2},
    {"log", codegen::emit_log, [](long double x) { return std::log(x); }, 2},
    {"log2", codegen::emit_log2, [](long double x) { return std::log2(x); }, 3},
    {"log1p", codegen::emit_log1p, [](long double x) { return std::log1p(x); }, 3},
    {"tanh", codegen::emit_tanh, [](long double x) { return std::tanh(x); }, 4},
    {"erf", codegen::emit_erf, [](long double x) { return std::erf(x); }, 4},
    {"sin", codegen::emit_sin, [](long double x) { return std::sin(x); }, 3, 0x1p-24},
    {"cos", codegen::emit_cos, [](long double x) { return std::cos(x); }, 3, 0x1p-24},
    {"floor", codegen::emit_floor, [](long double x) { return std::floor(x); }, 0},
    {"ceil", codegen::emit_ceil, [](long double x) { return std::ceil(x); }, 0},
    {"round", codegen::emit_round, [](long double x) { return std::nearbyint(x); }, 0},
};

class VectorMathF64 : public ::testing::TestWithParam<std::tuple<plan::Isa, Case>> {};

TEST_P(VectorMathF64, StaysWithinItsStatedError) {
  const auto& [isa, c] = GetParam();
  if (!can_call(isa)) GTEST_SKIP() << "neither this machine nor an emulator executes " << plan::name_of(isa);
  const DoubleFunction function(isa, c.body);
  const std::vector<double> x = all_over_the_range(8);
  const std::vector<double> y = function(x);
  double worst = 0;
  std::size_t where = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double error = ulp_error(y[i], c.exact(static_cast<long double>(x[i])), c.least);
    if (error > worst) {
      worst = error;
      where = i;
    }
  }
  RecordProperty("worst_ulp", std::to_string(worst));
  EXPECT_LE(worst, c.ulp) << c.name << "(" << std::hexfloat << x[where] << ") = " << y[where] << ", exact "
                          << c.exact(static_cast<long double>(x[where]));
}

INSTANTIATE_TEST_SUITE_P(All, VectorMathF64,
                         ::testing::Combine(::testing::Values(plan::Isa::kX86_64, plan::Isa::kX86_64_V2, plan::Isa::kX86_64_V3,
                                                              plan::Isa::kX86_64_V4, plan::Isa::kAArch64),
                                            ::testing::ValuesIn(kCases)),
                         [](const auto& test) {
                           std::string name =
                               std::string(plan::name_of(std::get<0>(test.param))) + "_" + std::get<1>(test.param).name;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(PowerF64, HasTheEdgesOfLibm) {
  const double values[] = {0.0,  -0.0, 1.0,  -1.0, 2.0,    -2.0, 0.5,   3.7,
                           -3.7, 3.0,  -3.0, 33.0, 1e-310, kInf, -kInf, std::numeric_limits<double>::quiet_NaN()};
  for (double exponent : values) {
    const DoubleFunction power(plan::host_target().isa, [exponent](Emitter& e, Float x) {
      return codegen::emit_pow(e, x, Float{llvm::ConstantFP::get(x.value->getType(), exponent)});
    });
    const std::vector<double> x(std::begin(values), std::end(values));
    const std::vector<double> y = power(x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double exact = std::pow(x[i], exponent);
      if (!std::isnan(exact)) {
        EXPECT_EQ(std::signbit(y[i]), std::signbit(exact)) << x[i] << " ^ " << exponent;
      }
      const double steps = std::fabs(exponent * std::log2(std::fabs(x[i])));
      EXPECT_LE(ulp_error(y[i], exact, 0), std::isfinite(steps) ? 2 + 2 * steps : 0) << x[i] << " ^ " << exponent;
    }
  }
}

}  // namespace
}  // namespace flexjit::test
