// What C++ means by its operations, one test a kind of pitfall of others' (D1 to D12 of the notes on C++ mods): each value is
// that of the same function in this file, as the host's compiler has it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "flexjit/mod.h"
#include "mods.h"
#include "support/checklist.h"

namespace flexjit::cxx_test {
namespace {

TEST(Meaning, D1BoolsAreOne) {
  expect_same(MOD({ return score + (q_idx == 1) + static_cast<int>(unsigned(kv_idx > q_idx) == 1); }));
  expect_same(MOD({
    bool b = q_idx & 2;
    return b + b + -b;
  }));
}

TEST(Meaning, D2LoopsEndWhereTheyDo) {
  expect_same(MOD({
    int v = 3;
    while (v >= 0) --v;
    return v + q_idx;
  }));
  expect_same(MOD({
    int v = 7;
    do {
      v -= 2;
    } while (v > kv_idx && v > 0);
    return v;
  }));
}

TEST(Meaning, D3BreakAndContinueNest) {
  expect_same(MOD({
    int n = 0;
    for (int i = 0; i < 4; ++i) {
      for (int j = 0; j < 4; ++j) {
        if (j == kv_idx) break;
        if (i + j == q_idx) continue;
        n += 10 * i + j;
      }
      if (n > 50) continue;
      n += 100;
    }
    return n;
  }));
  expect_same(MOD({
    for (int i = 0; i < 6; ++i) {
      if (i * i > q_idx + kv_idx) return i;
    }
    return -1;
  }));
  expect_same(MOD({
    int n = 0;
    switch (q_idx) {
      case 0: n = 1;
      case 1: n += 2; break;
      case 5: return 50;
      default: n = 9;
      case 3: n += kv_idx;
    }
    return n;
  }));
}

TEST(Meaning, D4GuardedReadsStayGuarded) {
  const std::string text =
      "float score_mod(float score, int q_idx, int kv_idx, [[flexjit::extents(\"4\")]] const float* tab) {\n"
      "  unsigned i = q_idx == 7 ? 4294967295u : unsigned(kv_idx);\n"
      "  if (i < 4u && tab[i] > 0) return tab[i];\n"
      "  return -1;\n}";
  const std::vector<float> tab = {1, -2, 3, 4};
  Bindings bindings;
  bindings.buffers["tab"] = TensorView(tab.data(), DType::kF32, {4});
  const std::vector<float> found = scores_of(text, {}, bindings);
  for (int q = 0; q < 8; ++q) {
    for (int kv = 0; kv < 8; ++kv) {
      const bool reads = q != 7 && kv < 4 && tab[static_cast<std::size_t>(kv)] > 0;
      EXPECT_EQ(found[static_cast<std::size_t>(q * 8 + kv)], reads ? tab[static_cast<std::size_t>(kv)] : -1.0F);
    }
  }
}

TEST(Meaning, D6DivisionGoesTowardZero) {
  expect_same(MOD({
    int d = q_idx - kv_idx;
    return d / 3 * 1000 + d % 3 * 10;
  }));
  expect_same(MOD({
    int d = q_idx - kv_idx, e = kv_idx - 4;
    return e == 0 ? 0 : d / e * 100 + d % e;
  }));
  expect_same(MOD({
    int d = (q_idx - 4) * 99999;
    return d / 512 + d % 100000 + d / -7 + d % -7;
  }));
}

TEST(Meaning, D7LanesThatAreNotTakenDoNotTrap) {
  expect_same(MOD({
    int a = q_idx * 100, b = kv_idx - 3;
    return b ? a / b : 0;
  }));
  expect_same(MOD({
    int s = q_idx * 8;
    return s < 32 ? (1 << s) % 1000 : 0;
  }));
}

TEST(Meaning, D8Promotions) {
  expect_same(MOD({
    unsigned char a = 255 - q_idx;
    int not_a = ~a;
    return (not_a >> 1) + (a << 1) + static_cast<unsigned char>(a + 1 + kv_idx);
  }));
  expect_same(MOD({
    unsigned one = 1 + q_idx;
    int minus = -2 + kv_idx;
    return (one + minus < 0u) + 2 * (one > static_cast<unsigned>(minus)) + (one + minus) / 65536u;
  }));
  expect_same(MOD({
    short s = static_cast<short>(40000 + q_idx);
    signed char c = static_cast<signed char>(kv_idx * 60);
    return s + c;
  }));
  expect_same(MOD({
    unsigned u = q_idx - kv_idx;
    long wide = static_cast<long>(u) * 3;
    return static_cast<int>(wide >> 20) + (u >> 28) + (u % 10u) + (u / 3u) % 1000u;
  }));
  expect_same(MOD({
    unsigned u = 3000000000u + q_idx;
    return static_cast<float>(u) + (u > 2999999999u + kv_idx);
  }));
}

TEST(Meaning, D11TemplatesOverloadsDefaults) {
  const std::string text =
      "template <class T> T twice(T s, float b = 2 * sizeof(T)) { return s * b; }\n"
      "float pick(int) { return 1; }\nfloat pick(float) { return 2; }\n"
      "struct Pair { int a, b = 5; };\n"
      "float score_mod(float score, int q_idx, int kv_idx) { Pair p{q_idx}; auto sum = [&](int x) { return x + p.b; };\n"
      "  return twice(1.5f) + pick(q_idx) * 100 + pick(1.0f * kv_idx) * 10 + sum(p.a); }";
  const std::vector<float> found = scores_of(text);
  for (int q = 0; q < 8; ++q) EXPECT_EQ(found[static_cast<std::size_t>(q) * 8], 12.0F + 100 + 20 + static_cast<float>(q) + 5);
}

TEST(Meaning, D12NoFastMath) {
  expect_same(MOD({
    float s = q_idx == 3 ? INFINITY : q_idx == 4 ? NAN : -INFINITY;
    return std::isinf(s) ? 0.0f : s != s ? 1.0f : 2.0f;
  }));
  expect_same(MOD({
    float x = kv_idx == 0 ? NAN : 1.0f * q_idx;
    return std::min(x, 3.0f) < 2 ? std::max(2.0f, x) : std::fmin(x, 5.0f);
  }));
  expect_same(MOD({
    float x = (q_idx - 4) * 0.75f;
    return std::trunc(x) * 100 + std::round(x) * 10 + std::floor(x) + std::fmod(x, 2.0f);
  }));
}

TEST(Meaning, DoublesAreExactWhereTheyCanBe) {
  expect_same(MOD({
    float x = 0.1f * (q_idx - 3);
    return (x > 0.1) + 2 * (x >= 0.2) + 4 * (x < 0.3) + 8 * (x == 0.1);
  }));
  expect_same(MOD({
    float x = 0.1f * q_idx;
    return x * 0.5;
  }));
}

// The numbers of ints are equal even where floats could not hold them.
TEST(Meaning, UnsignedWrapsAndShiftsAreLogical) {
  expect_same(MOD({
    unsigned u = (q_idx + 1) * 2654435761u;
    u ^= u >> 15;
    u *= 2246822519u;
    return (u >> 8) % 65521u;
  }));
  expect_same(MOD({
    unsigned u = ~0u - q_idx;
    return (u >> kv_idx) % 1000u + (u / 7u) % 1000u + u % 7u;
  }));
  expect_same(MOD({
    int v = -1 - q_idx * 1000;
    return (v >> kv_idx) + (v << 3);
  }));
}

TEST(Meaning, D10GlobalsThatChangeAreRefusedAndConstantsAreOfTheText) {
  EXPECT_EQ(scores_of("constexpr int kN = 5; float score_mod(float score) { return kN; }")[0], 5);
  EXPECT_EQ(scores_of("constexpr int kN = 10; float score_mod(float score) { return kN; }")[0], 10);
  EXPECT_EQ(check(cxx_spec("int n = 5; float score_mod(float score) { return n; }")).front().kind, "cxx-global");
  // One text whose lambdas differ in what they capture, and a param: what is resolved decides, not the words.
  const std::string lambdas =
      "float score_mod(float score) { auto f = [](int n) { return [n] { return n; }; }; return f(5)() * 100 + f(10)(); }";
  EXPECT_EQ(scores_of(lambdas)[0], 510);
  for (const int n : {5, 10}) {
    Bindings bindings;
    bindings.params["n"] = n;
    EXPECT_EQ(scores_of("float score_mod(float score, int n) { return n; }", {}, bindings)[0], static_cast<float>(n));
  }
}

// A generic lambda is executed as the instance that the call names, called at once or passed along.
TEST(Meaning, GenericLambdasConvertTheirParameters) {
  expect_same(MOD({
    auto narrow = [](auto z) {
      short s = static_cast<short>(z);
      return s;
    };
    auto twice = [](auto f, auto x) { return f(x) + f(x + 1); };
    auto kept = [n = kv_idx](auto x) { return x + n; };
    return narrow(33000 + q_idx) + twice(narrow, 65530 + q_idx) + kept(0.5f);
  }));
  expect_same(MOD({
    auto half = [](auto z) { return z / 2; };
    return half(q_idx) * 100 + half(1.0f * kv_idx);
  }));
}

TEST(Meaning, VariablesAreSetInAllCases) {
  expect_same(MOD({
    int n;
    int m;
    switch (q_idx % 3) {
      int k;
      case 0:
        k = 4;
        n = k + 1;
        m = n;
        break;
      case 1:
        n = 7;
        m = n + 1;
        if (kv_idx > 3) {
          m += n;
          break;
        }
        m *= 2;
        break;
      default: n = m = 1;
    }
    for (int i = 0;; ++i) {
      if (i > kv_idx) break;
      if (i > 5) break;
      n += i;
    }
    return n * 10 + m;
  }));
}

TEST(Meaning, ConstevalIsWhatTheCallIsNot) {
  EXPECT_EQ(scores_of("float score_mod(float score) { if !consteval { return 1; } else { return 2; } }")[0], 1.0F);
}

TEST(Meaning, ConstantsOfFunctionsAreComputed) {
  const std::string text =
      "const float kHalf = std::exp2(-1.0f); const float kQuarter = kHalf * kHalf;\n"
      "float score_mod(float score, int q_idx) { static const float root = std::sqrt(kQuarter); return q_idx > 3 ? root : "
      "kQuarter; }";
  const std::vector<float> found = scores_of(text);
  EXPECT_EQ(found[0], 0.25F);
  EXPECT_EQ(found[7 * 8], 0.5F);
}

// All bits of the small types, and one in seven of the others', as the host reads them.
TEST(Meaning, SmallFloatsOfTheHostAreThoseOfPatterns) {
  const auto compare = [](DType dtype, auto of_bits, std::int32_t count, int step) {
    using Bits = decltype(of_bits({}).bits);
    std::vector<Bits> bits;
    for (std::int32_t i = 0; i < count; i += step) bits.push_back(static_cast<Bits>(i));
    Bindings bindings;
    bindings.buffers["tab"] = TensorView(bits.data(), dtype, {static_cast<std::int64_t>(bits.size())});
    const std::string text = fmt::format(
        "float score_mod(float score, int kv_idx, const flexjit::{}* tab) {{ return tab[kv_idx]; }}", name_of(dtype));
    const std::vector<float> found = scores_of(text, {.q_len = 1, .kv_len = static_cast<std::int32_t>(bits.size())}, bindings);
    for (std::size_t i = 0; i < bits.size(); ++i) {
      const float expected = of_bits(bits[i]);
      EXPECT_TRUE(std::isnan(expected) ? std::isnan(found[i]) : found[i] == expected) << name_of(dtype) << " " << int{bits[i]};
    }
  };
  compare(DType::kE4M3, [](std::uint8_t bits) { return e4m3{bits}; }, 256, 1);
  compare(DType::kE5M2, [](std::uint8_t bits) { return e5m2{bits}; }, 256, 1);
  compare(DType::kF16, [](std::uint16_t bits) { return f16{bits}; }, 65536, 7);
  compare(DType::kBF16, [](std::uint16_t bits) { return bf16{bits}; }, 65536, 7);
}

TEST(Meaning, FloatsBecomeLongsInAllTheirRange) {
  expect_same(MOD({
    float x = 5e18f + q_idx * 1e18f;
    if (x > 9.2e18f) x = 9.2e18f;
    return static_cast<float>(static_cast<long>(x) / 1000003 % 65536) +
           static_cast<float>(static_cast<long>(-x) / 1000003 % 65536);
  }));
  expect_same(MOD({
    float x = 1e18f + kv_idx * 2.4e18f;
    return static_cast<float>(static_cast<unsigned long>(x) / 1000003 % 65536);
  }));
  expect_same(MOD({
    float x = (kv_idx - 4) * 1234567.8f + q_idx * 0.3f;
    return static_cast<float>(static_cast<long>(x) % 65536);
  }));
}

}  // namespace
}  // namespace flexjit::cxx_test
