// What C++ means by its operations, one test a kind of pitfall of others' (D1 to D12 of the notes on C++ mods): each value is
// that of the same function in this file, as the host's compiler has it.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "mods.h"
#include "support/checklist.h"

namespace flexjit::cxx_test {
namespace {

// The same words twice: for the host, and as a text.
#define MOD(...)                                             \
  [](float score, int q_idx, int kv_idx)->float __VA_ARGS__, \
      "float score_mod(float score, int q_idx, int "         \
      "kv_idx) " #__VA_ARGS__

void expect_same(const std::function<float(float, int, int)>& host, const std::string& text) {
  const std::vector<float> found = scores_of(text);
  for (int q = 0; q < 8; ++q) {
    for (int kv = 0; kv < 8; ++kv) {
      const float expected = host(0.0F, q, kv), value = found[static_cast<std::size_t>(q * 8 + kv)];
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(value)) << text;
      } else {
        EXPECT_EQ(value, expected) << text << " at " << q << ", " << kv;
      }
    }
  }
}

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

TEST(Meaning, ReturnedReferencesNameTheirVariable) {
  expect_same(MOD({
    struct S {
      int n;
      S& add(int x) {
        n += x;
        return *this;
      }
    };
    S s{1};
    s.add(q_idx).add(kv_idx);
    auto id = [](int& x) -> int& { return x; };
    int p = q_idx;
    int& r = id(p);
    r += 77;
    id(p) += 2;
    return s.n * 1000 + p;
  }));
  expect_same(MOD({
    auto id = [](const int& x) -> const int& { return x; };
    int p = q_idx;
    const int& r = id(p);
    p = 100 + kv_idx;
    return r;
  }));
  expect_same(MOD({
    int a = 1;
    int b = 2;
    auto larger = [](const int& x, const int& y) -> const int& { return x < y ? y : x; };
    return larger(a + q_idx, b + kv_idx) + std::min(q_idx, kv_idx);
  }));
}

TEST(Meaning, ArraysThatArePassedAreTheCallers) {
  expect_same(MOD({
    auto set = [](int* t, int at, int x) { t[at] = x; };
    auto fill = [&set](int* t, int x) {
      set(t, 1, x);
      if (x > 3) t[2] += x;
    };
    int t[3] = {1};
    set(t, 0, q_idx);
    fill(t, kv_idx);
    return t[0] * 100 + t[1] * 10 + t[2];
  }));
}

TEST(Meaning, ChosenElementsAreValues) {
  expect_same(MOD({
    struct P {
      int x;
      int y;
      int sum() const { return x + y; }
    };
    const P table[2] = {{1, 2}, {3, 4}};
    P other[2] = {{5, 6}, {7, q_idx}};
    const P& p = table[q_idx % 2];
    int m[2][3] = {{1, 2, 3}, {4, 5, kv_idx}};
    int n = 0;
    for (int e : m[kv_idx % 2]) n += e;
    return std::min(m[q_idx % 2][2], 3) + p.x * 100 + table[kv_idx % 2].sum() * 1000 + other[kv_idx % 2].sum() + n * 10000;
  }));
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
