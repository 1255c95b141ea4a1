// Integer floor division and modulo against 64-bit arithmetic: a divisor of its own in every lane, one that all lanes share
// (which becomes a multiplication) and one that is known when the kernel is compiled.
#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <vector>

#include "codegen/math/vector_math.h"
#include "emitted_function.h"
#include "support/checklist.h"

namespace flexjit::test {
namespace {

using codegen::Emitter;
using codegen::Float;
using codegen::Int;

constexpr std::int32_t kMin = -2147483647 - 1;
constexpr std::int32_t kMax = 2147483647;

struct Exact {
  std::int32_t quotient = 0;
  std::int32_t remainder = 0;
};

Exact floor_divide(std::int32_t a, std::int32_t b) {
  if (b == 0) return {};
  const std::int64_t x = a, y = b;
  const std::int64_t quotient = x / y - ((x % y != 0 && (x % y < 0) != (y < 0)) ? 1 : 0);
  return {static_cast<std::int32_t>(quotient), static_cast<std::int32_t>(x - quotient * y)};
}

// Edges, neighbours of multiples of the edges, and random numbers of every magnitude.
std::vector<std::int32_t> numbers(std::size_t count, std::uint32_t seed) {
  std::vector<std::int32_t> all{0,  1,   -1,  2,    -2,      3,       -3,    4,     5,      7,         -7,   10,    -10, 16,
                                48, 100, 641, 1000, 1 << 16, 1 << 30, 65535, 65537, -65536, 715827883, kMax, -kMax, kMin};
  for (std::int32_t value : {kMax, kMin, 1 << 30, -(1 << 30)}) {
    for (std::int32_t k = 1; k < 4; ++k) all.push_back(value > 0 ? value - k : value + k);
  }
  std::mt19937 random(seed);
  while (all.size() < count) {
    const auto bits = static_cast<std::uint32_t>(random());
    all.push_back(static_cast<std::int32_t>(bits) >> (random() % 32));
  }
  return all;
}

std::vector<float> as_floats(const std::vector<std::int32_t>& values) {
  std::vector<float> floats;
  for (std::int32_t value : values) floats.push_back(std::bit_cast<float>(value));
  return floats;
}

using Divide = Int (*)(Emitter&, Int, Int);

BinaryBody of_bits(Divide divide) {
  return [divide](Emitter& e, Float a, Float b) { return e.bits_as_float(divide(e, e.bits_as_int(a), e.bits_as_int(b))); };
}

class Division : public ::testing::TestWithParam<plan::Isa> {
 protected:
  void SetUp() override {
    if (!can_call(GetParam())) GTEST_SKIP() << "neither this machine nor an emulator executes " << plan::name_of(GetParam());
  }

  // `divisors` has one entry a numerator, or one for all.
  static void expect_exact(const EmittedFunction& quotient, const EmittedFunction& remainder,
                           const std::vector<std::int32_t>& numerators, const std::vector<std::int32_t>& divisors) {
    const std::vector<float> a = as_floats(numerators), b = as_floats(divisors);
    std::vector<float> q(a.size()), r(a.size());
    quotient(a, b, q);
    remainder(a, b, r);
    for (std::size_t i = 0; i < a.size(); ++i) {
      const std::int32_t divisor = divisors[divisors.size() == 1 ? 0 : i];
      const Exact exact = floor_divide(numerators[i], divisor);
      ASSERT_EQ(std::bit_cast<std::int32_t>(q[i]), exact.quotient) << numerators[i] << " // " << divisor;
      ASSERT_EQ(std::bit_cast<std::int32_t>(r[i]), exact.remainder) << numerators[i] << " % " << divisor;
    }
  }
};

TEST_P(Division, LaneByLane) {
  covers("C21");
  const EmittedFunction quotient(GetParam(), of_bits(codegen::emit_floor_div));
  const EmittedFunction remainder(GetParam(), of_bits(codegen::emit_floor_mod));
  std::vector<std::int32_t> a, b;
  for (std::int32_t x : numbers(90, 1)) {
    for (std::int32_t y : numbers(90, 2)) {
      a.push_back(x);
      b.push_back(y);
    }
  }
  expect_exact(quotient, remainder, a, b);
}

TEST_P(Division, ByARuntimeScalar) {
  const EmittedFunction quotient(GetParam(), of_bits(codegen::emit_floor_div), SecondOperand::kUniform);
  const EmittedFunction remainder(GetParam(), of_bits(codegen::emit_floor_mod), SecondOperand::kUniform);
  const bool emulated = !plan::can_execute({GetParam(), "", false});  // a process a call
  const std::vector<std::int32_t> numerators = numbers(1003, 3);
  for (std::int32_t divisor : numbers(emulated ? 50 : 1500, 4)) {
    std::vector<std::int32_t> a = numerators;
    // Where a wrong reciprocal shows first: at multiples of the divisor and beside them.
    for (std::int64_t k : {1, 2, 3, 1000, 46341, 1 << 20}) {
      for (std::int64_t near : {-1, 0, 1}) {
        for (std::int64_t sign : {-1, 1}) a.push_back(static_cast<std::int32_t>(sign * k * divisor + near));
      }
    }
    for (std::int64_t k = 0; divisor != 0 && k < 3; ++k) {
      const auto multiple = static_cast<std::int32_t>((std::int64_t{kMax} / divisor - k) * divisor);
      a.insert(a.end(), {multiple, static_cast<std::int32_t>(std::int64_t{multiple} - 1)});
    }
    expect_exact(quotient, remainder, a, {divisor});
  }
}

TEST_P(Division, ByAConstant) {
  for (std::int32_t divisor : {0, 1, -1, 2, -2, 3, 7, -7, 16, 641, 1 << 30, kMax, kMin}) {
    const auto by_constant = [divisor](Divide divide) -> BinaryBody {
      return [divisor, divide](Emitter& e, Float a, Float) {
        return e.bits_as_float(divide(e, e.bits_as_int(a), e.constant_int(divisor)));
      };
    };
    const EmittedFunction quotient(GetParam(), by_constant(codegen::emit_floor_div));
    const EmittedFunction remainder(GetParam(), by_constant(codegen::emit_floor_mod));
    expect_exact(quotient, remainder, numbers(999, 5), {divisor});
  }
}

INSTANTIATE_TEST_SUITE_P(All, Division,
                         ::testing::Values(plan::Isa::kX86_64, plan::Isa::kX86_64_V2, plan::Isa::kX86_64_V3,
                                           plan::Isa::kX86_64_V4, plan::Isa::kAArch64),
                         [](const auto& test) {
                           std::string name(plan::name_of(test.param));
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace flexjit::test
