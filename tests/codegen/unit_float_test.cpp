// Random words against the float that they stand for: what is less than p as integers is less than p as floats.
#include "codegen/math/unit_float.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "emitted_function.h"

namespace flexjit::test {
namespace {

using codegen::Emitter;
using codegen::Float;

// Words around p * 2^32, where the answer changes, at both ends, and anywhere.
std::vector<std::uint32_t> words_around(float p, std::mt19937& random) {
  std::vector<std::uint32_t> words;
  const double middle = std::clamp(std::isnan(p) ? 0 : double{p} * 0x1p32, 0.0, 0x1p32 - 1);
  for (std::int64_t near : {std::int64_t{0}, static_cast<std::int64_t>(middle), std::int64_t{0xffffffff}})
    for (std::int64_t i = near - 300; i <= near + 300; ++i)
      if (i >= 0 && i <= 0xffffffff) words.push_back(static_cast<std::uint32_t>(i));
  for (int i = 0; i < 100; ++i) words.push_back(static_cast<std::uint32_t>(random()));
  return words;
}

std::vector<float> probabilities(std::mt19937& random) {
  std::vector<float> all = {0,       -1,   std::nanf(""), 1e-45F, 0x1p-33F, 0x1p-32F,     0x1.8p-32F, 0x1.8p-31F,
                            0x1p-8F, 0.1F, 0.25F,         0.5F,   0.9F,     1 - 0x1p-24F, 1,          0x1.8p-9F};
  for (float p : {0x1p-8F, 0x1p-7F, 0x1p-6F, 0.1F, 0.5F})
    for (float to : {0.0F, 1.0F}) all.push_back(std::nextafter(p, to));
  for (int i = 0; i < 100; ++i) all.push_back(std::ldexp(static_cast<float>(random()), -32 - i % 34));
  return all;
}

class RandomWords : public testing::TestWithParam<plan::Isa> {};

TEST_P(RandomWords, AreBelowWhatTheirFloatsAreBelow) {
  if (!can_call(GetParam())) GTEST_SKIP();
  const auto body = [](Emitter& e, Float word, Float p) {
    return e.select(codegen::is_unit_below(e, e.bits_as_int(word), codegen::unit_threshold(e, p)), e.real(1.0), e.real(0.0));
  };
  const EmittedFunction below(GetParam(), body, SecondOperand::kUniform);
  std::mt19937 random(5);
  for (float p : probabilities(random)) {
    const std::vector<std::uint32_t> words = words_around(p, random);
    std::vector<float> bits(words.size()), result(words.size());
    std::ranges::transform(words, bits.begin(), [](std::uint32_t word) { return std::bit_cast<float>(word); });
    below(bits, std::vector<float>(words.size(), p), result);
    for (std::size_t i = 0; i < words.size(); ++i)
      ASSERT_EQ(result[i] != 0, static_cast<float>(words[i]) * 0x1p-32F < p) << words[i] << " of " << p;
  }
}

constexpr plan::Isa kTriedIsas[] = {plan::Isa::kX86_64, plan::Isa::kX86_64_V3, plan::Isa::kX86_64_V4, plan::Isa::kAArch64};

INSTANTIATE_TEST_SUITE_P(All, RandomWords, testing::ValuesIn(kTriedIsas), [](const auto& test) {
  std::string name(plan::name_of(test.param));
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

}  // namespace
}  // namespace flexjit::test
