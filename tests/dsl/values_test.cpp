// Meaning: texts, lowered and interpreted, against the same formula written in C++; and constants against both.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>

#include "ir/evaluate/interpreter.h"
#include "sources.h"
#include "support/checklist.h"

namespace flexjit::dsl_test {
namespace {

constexpr std::int32_t kLen = 12;

struct Position {
  std::int32_t b, h, q, kv;
};

// The text's value at one position; the score itself is 0.75.
double value_at(const ir::Program& program, Position at) {
  const ir::Environment environment{
      .batch_size = 2, .num_heads = 6, .num_kv_heads = 3, .q_len = kLen, .kv_len = kLen, .buffers = {}, .params = {}};
  ir::Interpreter interpreter(program, environment);
  const ir::RowRange row{.b = at.b, .h = at.h, .q_idx = at.q, .kv_begin = at.kv, .count = 1};
  std::array<std::uint8_t, 1> allowed = {1};
  if (program.mask().valid()) {
    EXPECT_FALSE(interpreter.eval_mask(row, allowed));
    return allowed[0];
  }
  std::array<double, 1> scores = {0.75};
  EXPECT_FALSE(interpreter.eval_score(row, allowed, scores));
  return scores[0];
}

void expect_everywhere(const dsl::Source& source, const std::function<double(Position)>& expected, const std::string& text) {
  const Result<ir::Lowered> lowered = ir::lower_source(source);
  ASSERT_TRUE(lowered.has_value()) << render(lowered.diagnostics());
  for (std::int32_t q = 0; q < kLen; q += 3) {
    for (std::int32_t kv = 0; kv < kLen; ++kv) {
      const Position at{kv % 2, (q + kv) % 6, q, kv};
      const double want = expected(at);
      const double got = value_at(lowered->program, at);
      const bool same = (std::isnan(want) && std::isnan(got)) || want == got || std::abs(want - got) <= 1e-6 * std::abs(want);
      ASSERT_TRUE(same) << text << " at q " << q << " kv " << kv << ": " << got << ", expected " << want;
    }
  }
}

std::int32_t python_floor_div(std::int32_t a, std::int32_t b) {
  return b == 0 ? 0 : static_cast<std::int32_t>(std::floor(double(a) / b));
}
std::int32_t python_mod(std::int32_t a, std::int32_t b) { return b == 0 ? 0 : a - python_floor_div(a, b) * b; }

// Long because it is a table.
TEST(Values, Scores) {
  covers("C21", "F04");
  using P = Position;
  const std::pair<const char*, std::function<double(P)>> cases[] = {
      {"score", [](P) { return 0.75; }},
      {"score + 0.5 * (kv_idx - q_idx)", [](P p) { return 0.75 + 0.5 * (p.kv - p.q); }},
      {"(kv - q) / 4", [](P p) { return (p.kv - p.q) / 4.0; }},
      {"(kv - q) // 4", [](P p) { return python_floor_div(p.kv - p.q, 4); }},
      {"(kv - q) % -5", [](P p) { return python_mod(p.kv - p.q, -5); }},
      {"q % (kv - 3)", [](P p) { return python_mod(p.q, p.kv - 3); }},
      {"(kv - q) // 2.5", [](P p) { return std::floor((p.kv - p.q) / 2.5); }},
      {"q * 65536 * 65536 + kv", [](P p) { return p.kv; }},
      {"(q ^ kv) & 7 | 8", [](P p) { return ((p.q ^ p.kv) & 7) | 8; }},
      {"~q << 2 >> 1", [](P p) { return (~p.q * 4) / 2; }},
      {"-7 >> 1", [](P) { return -4; }},
      {"q > kv ? q - kv : 0.5", [](P p) { return p.q > p.kv ? p.q - p.kv : 0.5; }},
      {"where(q == kv, -inf, score)", [](P p) { return p.q == p.kv ? -std::numeric_limits<double>::infinity() : 0.75; }},
      {"min(q, kv, 5) + max(q, kv)", [](P p) { return std::min({p.q, p.kv, 5}) + std::max(p.q, p.kv); }},
      {"clamp(kv - q, -2, 3)", [](P p) { return std::clamp(p.kv - p.q, -2, 3); }},
      {"relu(kv - q)", [](P p) { return std::max(p.kv - p.q, 0); }},
      {"relu(score - 1)", [](P) { return 0.0; }},
      {"abs(kv - q)", [](P p) { return std::abs(p.kv - p.q); }},
      {"floor(kv / 2) + ceil(kv / 2)", [](P p) { return std::floor(p.kv / 2.0) + std::ceil(p.kv / 2.0); }},
      {"round(kv / 2)", [](P p) { return std::nearbyint(p.kv / 2.0); }},
      {"sqrt(kv) + rsqrt(kv + 1)", [](P p) { return std::sqrt(p.kv) + 1 / std::sqrt(p.kv + 1.0); }},
      {"exp(score) + exp2(kv)", [](P p) { return std::exp(0.75) + std::exp2(p.kv); }},
      {"log(kv) ", [](P p) { return std::log(double(p.kv)); }},
      {"log(kv - 2)", [](P p) { return std::log(p.kv - 2.0); }},
      {"log2(kv + 1) + log1p(q)", [](P p) { return std::log2(p.kv + 1.0) + std::log1p(p.q); }},
      {"tanh(score) + erf(score)", [](P) { return std::tanh(0.75) + std::erf(0.75); }},
      {"sigmoid(score * kv)", [](P p) { return 1 / (1 + std::exp(-0.75 * p.kv)); }},
      {"silu(score)", [](P) { return 0.75 / (1 + std::exp(-0.75)); }},
      {"gelu(score)", [](P) { return 0.75 * 0.5 * std::erfc(-0.75 / std::sqrt(2.0)); }},
      {"sin(score) + cos(score)", [](P) { return std::sin(0.75) + std::cos(0.75); }},
      {"pow(score, kv)", [](P p) { return std::pow(0.75, p.kv); }},
      {"int((kv - q) / 2)", [](P p) { return (p.kv - p.q) / 2; }},
      {"int(q > kv) + float(h == 1) * 2", [](P p) { return int(p.q > p.kv) + 2 * int(p.h == 1); }},
      {"kv_head + 10 * num_heads + 100 * num_kv_heads", [](P p) { return p.h / 2 + 60 + 300; }},
      {"q_len * 100 + kv_len + b * batch_size", [](P p) { return kLen * 101 + p.b * 2; }},
      {"def f(x, y) = x * y + 1; let d = q - kv; f(d, f(d, h))",
       [](P p) { return (p.q - p.kv) * ((p.q - p.kv) * p.h + 1) + 1; }},
  };
  for (const auto& [text, expected] : cases) expect_everywhere(score(text), expected, text);
}

// sum over n in [low, high) of term(n)
double total(std::int32_t low, std::int32_t high, const std::function<double(std::int32_t)>& term) {
  double sum = 0;
  for (std::int32_t n = low; n < high; ++n) sum += term(n);
  return sum;
}

TEST(Values, Sums) {
  using P = Position;
  const std::pair<const char*, std::function<double(P)>> cases[] = {
      {"sum(n in 0..4 : n * kv)", [](P p) { return 6 * p.kv; }},
      {"sum(n in -2..3 : score * n * n)", [](P) { return 7.5; }},
      {"sum(n in 3..4 : n)", [](P) { return 3; }},
      {"sum(n in 0..0 : score) + sum(n in 5..2 : kv)", [](P) { return 0; }},
      {"sum(n in 0..256 : n ^ q)", [](P p) { return total(0, 256, [&](std::int32_t n) { return n ^ p.q; }); }},
      {"const c : int = 3; sum(n in -c..c + 1 : abs(n - kv))",
       [](P p) { return total(-3, 4, [&](std::int32_t n) { return std::abs(n - p.kv); }); }},
      {"sum(n in 0..min(q, 5) : n + 1)", [](P p) { return total(0, std::min(p.q, 5), [](std::int32_t n) { return n + 1; }); }},
      {"sum(n in 2..min(9, kv, q) : 0.5 * n)",
       [](P p) { return total(2, std::min(p.kv, p.q), [](std::int32_t n) { return 0.5 * n; }); }},
      {"sum(n in -1..clamp(kv - q, -3, 6) : 1.5)", [](P p) { return 1.5 * std::max(std::clamp(p.kv - p.q, -3, 6) + 1, 0); }},
      {"sum(n in 0..4 : sum(m in 0..n + 1 : n * m + kv))",
       [](P p) {
         return total(0, 4, [&](std::int32_t n) { return total(0, n + 1, [&](std::int32_t m) { return n * m + p.kv; }); });
       }},
      {"sum(n in 0..3 : sum(m in n..min(kv, 7) : m - n))",
       [](P p) {
         return total(0, 3, [&](std::int32_t n) { return total(n, std::min(p.kv, 7), [&](std::int32_t m) { return m - n; }); });
       }},
      {"def f(c, x) = sum(n in 0..c : n * x); f(3, kv) + f(4, q)", [](P p) { return 3 * p.kv + 6 * p.q; }},
      {"sum(q in 0..3 : q) + sum(n in 0..2 : (let d = kv - n; d * d))",
       [](P p) { return 3 + p.kv * p.kv + (p.kv - 1) * (p.kv - 1); }},
      {"sum(n in 0..3 : int(any(m in 0..n : m == kv)))", [](P p) { return p.kv == 0   ? 2
                                                                          : p.kv == 1 ? 1
                                                                                      : 0; }},
      {"sum(n in 0..4 : 65536 * 32767 * (n // 3) + n)", [](P) { return 65536.0 * 32767 + 6; }},
  };
  for (const auto& [text, expected] : cases) expect_everywhere(score(text), expected, text);
}

// any(n in [low, high) : term(n)); all is its dual.
bool some(std::int32_t low, std::int32_t high, const std::function<bool(std::int32_t)>& term) {
  return total(low, high, [&](std::int32_t n) { return term(n) ? 1 : 0; }) > 0;
}
bool every(std::int32_t low, std::int32_t high, const std::function<bool(std::int32_t)>& term) {
  return !some(low, high, [&](std::int32_t n) { return !term(n); });
}

TEST(Values, AnyAndAll) {
  using P = Position;
  const std::pair<const char*, std::function<bool(P)>> cases[] = {
      {"any(n in 0..3 : kv == 2 * n)", [](P p) { return p.kv % 2 == 0 && p.kv < 6; }},
      {"all(n in 0..3 : kv != 2 * n)", [](P p) { return p.kv % 2 != 0 || p.kv >= 6; }},
      {"any(n in 0..0 : true)", [](P) { return false; }},
      {"all(n in 0..0 : false)", [](P) { return true; }},
      {"any(n in 0..min(q, 4) : kv == n)", [](P p) { return p.kv < std::min(p.q, 4); }},
      {"all(n in 1..min(q, 4) : kv % (n + 1) == 0)",
       [](P p) { return every(1, std::min(p.q, 4), [&](std::int32_t n) { return p.kv % (n + 1) == 0; }); }},
      {"all(n in 0..3 : any(m in 0..3 : (q + n) % 3 == m))", [](P) { return true; }},
      {"any(n in 0..7 : kv == q - n) && !all(n in 0..2 : h == n)", [](P p) { return p.q - p.kv >= 0 && p.q - p.kv < 7; }},
      {"any(\n  n in 0..\n  2 : kv == n)", [](P p) { return p.kv < 2; }},
  };
  for (const auto& [text, expected] : cases) {
    expect_everywhere(mask(text), [&](P p) { return expected(p) ? 1.0 : 0.0; }, text);
  }
}

TEST(Values, Masks) {
  covers("F04");
  using P = Position;
  const std::pair<const char*, std::function<bool(P)>> cases[] = {
      {"q >= kv", [](P p) { return p.q >= p.kv; }},
      {"kv in {0, 1, 5}", [](P p) { return p.kv == 0 || p.kv == 1 || p.kv == 5; }},
      {"kv not in {q, h}", [](P p) { return p.kv != p.q && p.kv != p.h; }},
      {"kv / 2 in {0.5, 3}", [](P p) { return p.kv == 1 || p.kv == 6; }},
      {"not q < kv and kv != 3 or h == 0", [](P p) { return (p.q >= p.kv && p.kv != 3) || p.h == 0; }},
      {"!(q <= kv) || kv == 3", [](P p) { return p.q > p.kv || p.kv == 3; }},
      {"(q < kv) ^ (h == 2)", [](P p) { return (p.q < p.kv) != (p.h == 2); }},
      {"~(q < kv) & true", [](P p) { return p.q >= p.kv; }},
      {"(q < kv) == (h < 3)", [](P p) { return (p.q < p.kv) == (p.h < 3); }},
      {"bool(q - kv)", [](P p) { return p.q != p.kv; }},
      {"q > 4 ? kv < 3 : kv > q", [](P p) { return p.q > 4 ? p.kv < 3 : p.kv > p.q; }},
      {"abs(clamp(q % 4, 1, 2) - kv % 4) <= 1 && abs(clamp(q // 4, 1, 2) - kv // 4) <= 1",
       [](P p) {
         return std::abs(std::clamp(p.q % 4, 1, 2) - p.kv % 4) <= 1 && std::abs(std::clamp(p.q / 4, 1, 2) - p.kv / 4) <= 1;
       }},
  };
  for (const auto& [text, expected] : cases) expect_everywhere(mask(text), [&](P p) { return expected(p) ? 1.0 : 0.0; }, text);
}

// The checker folds constants on its own; a default shows its result. Long because it is a table.
TEST(Values, Constants) {
  const auto folded = [](const std::string& type, const std::string& text) -> Scalar {
    const Result<ir::Lowered> lowered = ir::lower_source(file("param x : " + type + " = " + text + "\nscore = score"));
    EXPECT_TRUE(lowered.has_value()) << render(lowered.diagnostics());
    return lowered ? lowered->interface.params[0].default_value : Scalar{};
  };
  const std::pair<const char*, std::int64_t> ints[] = {
      {"2147483647 + 1", -2147483648LL},
      {"-2147483648 // -1", -2147483648LL},
      {"-2147483648 % -1", 0},
      {"-7 // 2", -4},
      {"-7 % 2", 1},
      {"7 % -2", -1},
      {"7 // -2", -4},
      {"65536 * 65536", 0},
      {"1 << 33", 2},
      {"-1 >> 40", -1},
      {"abs(-2147483648)", -2147483648LL},
      {"int(3e9)", 2147483647},
      {"int(-1e30)", -2147483648LL},
      {"int(inf - inf)", 0},
      {"int(-2.7)", -2},
      {"min(3, 1, 2) + max(1, 5)", 6},
      {"clamp(7, 0, 3)", 3},
      {"true ? 3 : 4", 3},
      {"int(2 in {1, 2})", 1},
      {"0xff ^ 0x0f", 0xf0},
      {"~0", -1},
      {"relu(-3)", 0},
      {"int(!(1 < 2) || 2.0 == 2)", 1},
  };
  for (auto [text, value] : ints) EXPECT_EQ(std::get<std::int32_t>(folded("int", text)), value) << text;
  const std::pair<const char*, float> floats[] = {
      {"1 / 3", 1.0f / 3.0f},
      {"0.1 + 0.2", 0.1f + 0.2f},
      {"-7.5 // 2", -4.0f},
      {"-7.5 % 2", 0.5f},
      {"1e9 % 3.0", 1.0f},
      {"-1e9 % 3.0", 2.0f},
      {"1.0 // 0.1", 9.0f},
      {"exp2(-3)", 0.125f},
      {"sqrt(2)", std::sqrt(2.0f)},
      {"round(2.5)", 2.0f},
      {"16777217", 16777216.0f},
      {"pow(2, 0.5)", std::sqrt(2.0f)},
      {"min(0.5, 2)", 0.5f},
      {"-inf", -std::numeric_limits<float>::infinity()},
      {"1 / 0", std::numeric_limits<float>::infinity()},
      {"floor(-0.5)", -1.0f},
      {"pi", 3.14159274f},
  };
  for (auto [text, value] : floats) EXPECT_EQ(std::get<double>(folded("float", text)), static_cast<double>(value)) << text;
  EXPECT_EQ(std::get<bool>(folded("bool", "1 < 2 && !(3 in {1, 2})")), true);
  EXPECT_EQ(std::get<bool>(folded("bool", "inf - inf == inf - inf")), false);
}

}  // namespace
}  // namespace flexjit::dsl_test
