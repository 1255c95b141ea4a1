// The derivative of every op and function at smooth points, against central differences of C++ functions in long double; of
// every kink, exactly what docs/language.md decides; closed forms; what takes no part.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <set>

#include "gradients.h"
#include "ir/passes/passes.h"
#include "support/checklist.h"
#include "support/every_op.h"
#include "text.h"

namespace flexjit::ir::test {
namespace {

using Real = long double;
constexpr double kInfF64 = std::numeric_limits<double>::infinity();

// The gradient of the first pair's score by every derivative of the program, which must agree.
double gradient_at(const Lowered& ir, double score, double grad) {
  const SmallCall call(ir.interface, 1);
  const Pairs scores(SmallCall::kPairs, score), grads(SmallCall::kPairs, grad);
  const std::vector<std::uint8_t> all(SmallCall::kPairs, 1);
  std::vector<double> found;
  for (const Program& derivative : derivatives(ir)) found.push_back(gradients(derivative, call, scores, grads, all).scores[0]);
  for (double value : found) {
    EXPECT_TRUE(value == found[0] || (std::isnan(value) && std::isnan(found[0]))) << value << " and " << found[0];
  }
  return found[0];
}

struct Smooth {
  const char* text;
  Real (*f)(Real);
};

Real floored(Real a, Real b) { return std::floor(a / b); }
Real logistic(Real x) { return 1 / (1 + std::exp(-x)); }

const Smooth kSmooth[] = {
    {"-score", [](Real s) { return -s; }},
    {"score + 2.5", [](Real s) { return s + 2.5L; }},
    {"1.5 - score", [](Real s) { return 1.5L - s; }},
    {"score * score * score", [](Real s) { return s * s * s; }},
    {"3.0 / score", [](Real s) { return 3 / s; }},
    {"score / (1.0 + score * score)", [](Real s) { return s / (1 + s * s); }},
    {"score % 0.75", [](Real s) { return s - floored(s, 0.75L) * 0.75L; }},
    {"-5.25 % score", [](Real s) { return -5.25L - floored(-5.25L, s) * s; }},
    {"score // 0.75 * score", [](Real s) { return floored(s, 0.75L) * s; }},
    {"min(score, score * score)", [](Real s) { return std::min(s, s * s); }},
    {"max(score, score * score)", [](Real s) { return std::max(s, s * s); }},
    {"clamp(score, -0.8, 0.8)", [](Real s) { return std::min(std::max(s, -0.8L), 0.8L); }},
    {"clamp(0.1, score, 0.5)", [](Real s) { return std::min(std::max(0.1L, s), 0.5L); }},
    {"clamp(2.0, -9.0, score)", [](Real s) { return std::min(2.0L, s); }},
    {"clamp(score, 3.0, score * score)", [](Real s) { return std::min(std::max(s, 3.0L), s * s); }},
    {"abs(score)", [](Real s) { return std::abs(s); }},
    {"where(score > 0.1, score * score, exp(score))", [](Real s) { return s > 0.1L ? s * s : std::exp(s); }},
    {"int(score * 3.0) * score", [](Real s) { return std::trunc(s * 3) * s; }},
    {"floor(score) * score", [](Real s) { return std::floor(s) * s; }},
    {"ceil(score) * score", [](Real s) { return std::ceil(s) * s; }},
    {"round(score) * score", [](Real s) { return std::nearbyint(s) * s; }},
    {"sqrt(score * score + 0.3)", [](Real s) { return std::sqrt(s * s + 0.3L); }},
    {"rsqrt(score * score + 0.3)", [](Real s) { return 1 / std::sqrt(s * s + 0.3L); }},
    {"exp(score)", [](Real s) { return std::exp(s); }},
    {"exp2(score)", [](Real s) { return std::exp2(s); }},
    {"log(score * score)", [](Real s) { return std::log(s * s); }},
    {"log2(score * score)", [](Real s) { return std::log2(s * s); }},
    {"log1p(score * score)", [](Real s) { return std::log1p(s * s); }},
    {"tanh(score)", [](Real s) { return std::tanh(s); }},
    {"erf(score)", [](Real s) { return std::erf(s); }},
    {"sin(score)", [](Real s) { return std::sin(s); }},
    {"cos(score)", [](Real s) { return std::cos(s); }},
    {"pow(abs(score), 1.5)", [](Real s) { return std::pow(std::abs(s), 1.5L); }},
    {"pow(score, 3.0)", [](Real s) { return s * s * s; }},
    {"pow(score, -2.0)", [](Real s) { return 1 / (s * s); }},
    {"pow(2.5, score)", [](Real s) { return std::pow(2.5L, s); }},
    {"pow(score * score + 0.5, score)", [](Real s) { return std::pow(s * s + 0.5L, s); }},
    {"relu(score)", [](Real s) { return std::max(s, 0.0L); }},
    {"sigmoid(score)", logistic},
    {"silu(score)", [](Real s) { return s * logistic(s); }},
    {"gelu(score)", [](Real s) { return s / 2 * (1 + std::erf(s / std::numbers::sqrt2_v<Real>)); }},
};

TEST(Differentiate, IsTheSlopeWhereSmooth) {
  constexpr Real kStep = 1e-6L;
  for (const auto& [text, f] : kSmooth) {
    const Lowered ir = lowered(std::string("score = ") + text, Precision::kFp64);
    for (double score : {-2.3, -1.37, -0.61, -0.2, 0.23, 0.44, 0.9, 1.7, 3.2}) {
      const Real slope = (f(Real{score} + kStep) - f(Real{score} - kStep)) / (2 * kStep);
      for (double grad : {1.0, -2.5}) {
        const auto expected = static_cast<double>(slope * Real{grad});
        EXPECT_NEAR(gradient_at(ir, score, grad), expected, 1e-9 * (1 + std::abs(expected))) << text << " at " << score;
      }
    }
  }
}

TEST(Differentiate, EveryOpOfFloatsIsTested) {
  std::set<Op> seen;
  for (const Smooth& smooth : kSmooth) {
    const Lowered ir = lowered(std::string("score = ") + smooth.text);
    for (const Node& node : ir.program.nodes()) seen.insert(node.op);
  }
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    const auto program = operand_count(op) > 0 ? ::flexjit::test::program_of(op, Type::kFloat) : std::nullopt;
    if (!program || !program->score().valid() || op == Op::kFloatToInt || type_rule(op) == TypeRule::kRandom) continue;
    EXPECT_TRUE(seen.contains(op)) << mnemonic(op) << " has no derivative here";
  }
}

struct Kink {
  const char* text;
  double score;
  double expected;  // of an incoming gradient of 1
};

// clang-format off
const Kink kKinks[] = {
    {"abs(score)", 0, 0}, {"abs(score)", -0.0, 0}, {"min(score, 0.0)", 0, 0.5}, {"max(score, 0.0)", 0, 0.5},
    {"max(0.0, score)", 0, 0.5}, {"max(score, score)", 3, 1}, {"min(score, 2.0 * score)", 0, 1.5},
    {"max(score, 0.0)", -1e-300, 0}, {"max(score, 0.0)", 1e-300, 1}, {"relu(score)", 0, 0}, {"relu(score)", -0.0, 0},
    {"relu(score)", 1e-300, 1}, {"where(score > 0.0, score, 0.0)", 0, 0}, {"where(score >= 0.0, score, 0.0)", 0, 1},
    {"where(score < 0.0, score, 0.0)", 0, 0}, {"where(0.0 < score, score, 0.0)", 1, 1}, {"clamp(score, -1.0, 1.0)", -1, 1},
    {"clamp(score, -1.0, 1.0)", 1, 1}, {"clamp(score, -1.0, 1.0)", 0, 1}, {"clamp(score, -1.0, 1.0)", 1.0000001, 0},
    {"clamp(score, -1.0, 1.0)", -1.0000001, 0}, {"clamp(score, 0.0, 0.0)", 0, 1}, {"clamp(0.0, score, 1.0)", 0, 0},
    {"clamp(1.0, 0.0, score)", 1, 0}, {"clamp(score, 2.0, 1.0)", 1, 0}, {"clamp(0.0, 2.0, score)", 1, 1},
    {"min(max(score, -1.0), 1.0)", 1, 0.5}, {"floor(score)", 2, 0}, {"ceil(score)", 2, 0}, {"round(score)", 0.5, 0},
    {"float(int(score))", 2, 0}, {"score // 1.5", 3, 0}, {"score % 1.5", 3, 1}, {"where(score == 1.0, 1.0, 0.0)", 1, 0},
    {"sqrt(score)", 0, kInfF64}, {"log(score)", 0, kInfF64}, {"log1p(score)", -1, kInfF64}, {"rsqrt(score)", 0, -kInfF64},
    {"sigmoid(score)", 0, 0.25}, {"silu(score)", 0, 0.5}, {"gelu(score)", 0, 0.5}, {"tanh(score)", 0, 1},
    {"sigmoid(score)", -800, 0}, {"sigmoid(score)", 800, 0}, {"silu(score)", 800, 1}, {"tanh(score)", 800, 0},
    {"silu(score)", -800, 0}, {"gelu(score)", 1e30, 1}, {"gelu(score)", -1e30, 0}, {"pow(score, zero)", 0, 0},
    {"pow(score, zero)", -3, 0}, {"pow(score, 1.0 + zero)", 0, 1}, {"pow(score, 2.0 + zero)", 0, 0},
    {"pow(score, 0.5 + zero)", 0, kInfF64}, {"pow(0.0 * score, 1.0 + score)", 1, 0}, {"pow(zero, score)", 2, 0},
    {"pow(zero - 2.0, score)", 3, 0}, {"pow(zero, score)", 0, 0}, {"3.0", 1, 0}, {"float(kv_idx)", 1, 0}, {"score", 2, 1},
};
// clang-format on

TEST(Differentiate, AtKinksIsWhatTheDocumentsDecide) {
  for (const Kink& kink : kKinks) {
    for (Precision precision : {Precision::kFp32, Precision::kFp64}) {
      const Lowered ir = lowered(std::string("param zero : float = 0.0\nscore = ") + kink.text, precision);
      EXPECT_EQ(gradient_at(ir, kink.score, 1), kink.expected) << kink.text << " at " << kink.score;
    }
  }
}

// A46 of the pitfalls, and its relatives: an unselected side whose derivative is infinite or NaN takes no part.
TEST(Differentiate, WhatIsNotSelectedTakesNoPart) {
  const Kink cases[] = {
      {"where(score > 0.0, sqrt(score), score)", -2, 1},
      {"where(score > 0.0, sqrt(score), score)", 0, 1},
      {"where(score <= 0.0, exp(score), 1.0 + score)", 1e5, 1},
      {"where(score > 0.0, log(score), 0.0)", 0, 0},
      {"where(score > 0.0, log(score), 0.0)", -1, 0},
      {"where(score > 0.0, 1.0 / score, 0.0) + score", 0, 1},
      {"(let r = sqrt(score); where(score > 1.0, r, 0.0) + where(score > 2.0, 3.0 * r, score))", 0, 1},
      {"where(score > 0.0, where(score < 1.0, log(1.0 - score), score), sqrt(score + 1.0))", -1, kInfF64},
      {"where(score > 0.0, where(score < 1.0, log(1.0 - score), 2.0 * score), sqrt(score + 1.0))", 1, 2},
      {"where(h == 0, -inf, score)", 3, 0},
      {"where(h == 1, score / zero, zero)", 3, 0},
      {"where(abs(score) > 0.0, score / abs(score), 0.0)", 0, 0},
  };
  for (const Kink& what : cases) {
    for (Precision precision : {Precision::kFp32, Precision::kFp64}) {
      const Lowered ir = lowered(std::string("param zero : float = 0.0\nscore = ") + what.text, precision);
      EXPECT_EQ(gradient_at(ir, what.score, 1), what.expected) << what.text << " at " << what.score;
    }
  }
}

// What the incoming gradient is where the forward program masks may be NaN too.
TEST(Differentiate, AnIncomingNanIsLeftOutToo) {
  const Lowered ir = lowered("score = where(h == 0, -inf, tanh(score))", Precision::kFp64);
  EXPECT_EQ(gradient_at(ir, 1, std::numeric_limits<double>::quiet_NaN()), 0);
}

std::string differentiated(const std::string& text) {
  const Lowered ir = lowered(text);
  const std::vector<std::uint32_t> buffers = float_buffers(ir.program);
  return print(simplify(differentiate(simplify(ir.program), buffers)), ir.interface);
}

TEST(Differentiate, ClosedForms) {
  covers("D43");
  EXPECT_EQ(differentiated("score = score"), "");
  EXPECT_EQ(differentiated("score = 2.0 * score"),
            "%0 = score : float\n%1 = const 2.0 : float\n%2 = mul %0, %1 : float\n%3 = score_grad : float\n"
            "%4 = mul %3, %1 : float\nscore = %2\nscore_grad = %4\n");
  EXPECT_EQ(differentiated("score = score + kv_idx"),
            "%0 = score : float\n%1 = kv_idx : int\n%2 = int_to_float %1 : float\n%3 = add %0, %2 : float\nscore = %3\n");
  EXPECT_EQ(differentiated("score = float(q_idx)"),
            "%0 = q_idx : int\n%1 = int_to_float %0 : float\n%2 = const 0.0 : float\nscore = %1\nscore_grad = %2\n");
  EXPECT_EQ(differentiated("score = where(q_idx >= kv_idx, score, -inf)"),
            "%0 = kv_idx : int\n%1 = q_idx : int\n%2 = le %0, %1 : bool\n%3 = score : float\n%4 = const -inf : float\n"
            "%5 = select %2, %3, %4 : float\n%6 = score_grad : float\n%7 = const 0.0 : float\n%8 = select %2, %6, %7 : float\n"
            "score = %5\nscore_grad = %8\n");
  EXPECT_EQ(differentiated("buffer bias : f32[kv_len]\nscore = score + bias[kv_idx]"),
            "buffer bias : f32 rank 1\n%0 = score : float\n%1 = const true : bool\n%2 = kv_idx : int\n"
            "%3 = read bias[%2] if %1 checked at 0 : float\n%4 = add %0, %3 : float\n%5 = score_grad : float\n"
            "%6 = accumulate bias[%2] += %5 if %1 checked at 0 : float\nscore = %4\naccumulates %6\n");
}

TEST(Differentiate, SquareAndScaledSquare) {
  covers("D43");
  EXPECT_EQ(gradient_at(lowered("score = score * score"), 1.5, 2), 6);
  const Lowered ir = lowered("buffer scale : f64[kv_len]\nscore = scale[kv_idx] * score * score", Precision::kFp64);
  SmallCall call(ir.interface, 3);
  const Pairs scores(SmallCall::kPairs, 1.5), grads(SmallCall::kPairs, 2);
  const std::vector<std::uint8_t> all(SmallCall::kPairs, 1);
  for (const Program& derivative : derivatives(ir)) {
    const Gradients found = gradients(derivative, call, scores, grads, all);
    for (std::size_t kv = 0; kv < SmallCall::kKeys; ++kv) {
      EXPECT_DOUBLE_EQ(found.scores[kv], 6 * call.floats()[0][kv]);
      EXPECT_DOUBLE_EQ(found.buffers[0][kv], 2.0 * 1.5 * 1.5 * SmallCall::kHeads * SmallCall::kQueries);
    }
  }
}

// Both sides of a row with itself, and one that only one of two buffers is asked for.
TEST(Differentiate, RowsOfADot) {
  const Lowered ir = lowered(
      "buffer a : f64[q_len, 3]\nbuffer c : f64[kv_len, 3]\nscore = score + dot(a[q_idx, :], c[kv_idx, :])", Precision::kFp64);
  const std::uint32_t only_c[] = {1};
  const Program derivative = simplify(differentiate(ir.program, only_c));
  ASSERT_EQ(derivative.accumulations().size(), 1U);
  EXPECT_EQ(derivative.dot(derivative.accumulations()[0]).buffer_a, 1U);
  const Lowered twice = lowered("buffer a : f64[q_len, 3]\nscore = score + dot(a[q_idx, :], a[q_idx, :])", Precision::kFp64);
  SmallCall call(twice.interface, 5);
  const Pairs ones(SmallCall::kPairs, 1);
  const std::vector<std::uint8_t> all(SmallCall::kPairs, 1);
  for (const Program& both : derivatives(twice)) {  // whose accumulations are one node that stands twice
    const Gradients found = gradients(both, call, ones, ones, all);
    for (std::size_t i = 0; i < found.buffers[0].size(); ++i) {
      EXPECT_DOUBLE_EQ(found.buffers[0][i], 2 * call.floats()[0][i] * SmallCall::kHeads * SmallCall::kKeys);
    }
  }
}

TEST(Differentiate, AsksOnlyForWhatIsWanted) {
  const Lowered ir = lowered("buffer t : f32[kv_len]\nbuffer n : i32[kv_len]\nscore = score * t[kv_idx] + n[kv_idx]");
  EXPECT_TRUE(differentiate(ir.program, {}).accumulations().empty());
  const std::uint32_t ints[] = {1};
  EXPECT_THROW(differentiate(ir.program, ints), support::InternalError);
  const std::uint32_t floats[] = {0};
  const Program derivative = differentiate(ir.program, floats);
  EXPECT_THROW(differentiate(derivative, floats), support::InternalError);
}

// The guard says whether to add, so it stays when the index is proved; a read has no more need of its own.
TEST(Differentiate, ProofsKeepTheGuardOfWhatAdds) {
  const Lowered ir = lowered("buffer t : f32[kv_len]\nscore = where(q_idx > kv_idx, score * t[kv_idx], score)");
  const std::uint32_t slots[] = {0};
  const Program derivative = simplify(prove_reads(simplify(differentiate(ir.program, slots)), ir.interface));
  ASSERT_EQ(derivative.accumulations().size(), 1U);
  const Id added = derivative.accumulations()[0];
  EXPECT_FALSE(derivative.read(added).checked);
  EXPECT_EQ(derivative.node(derivative.operand(added, 0)).op, Op::kLt);
  for (std::uint32_t i = 0; i < derivative.size(); ++i) {
    if (derivative.node(Id{i}).op != Op::kRead) continue;
    EXPECT_EQ(derivative.node(derivative.operand(Id{i}, 0)).op, Op::kConst);
  }
}

TEST(Differentiate, LongChainsTakeLinearSpace) {
  ProgramBuilder builder;
  Id value = builder.variable(Op::kScore);
  for (int i = 0; i < 20000; ++i) value = builder.make(Op::kTanh, {builder.make(Op::kAdd, {value, builder.const_float(i)})});
  const Program derivative = differentiate(std::move(builder).finish(value, {}), {});
  EXPECT_LT(derivative.size(), 20000U * 8);
}

}  // namespace
}  // namespace flexjit::ir::test
