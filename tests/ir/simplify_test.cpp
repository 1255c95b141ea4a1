// Each line of the first table is an identity that must be found; each of the second looks like one and is false for some
// value.
#include <gtest/gtest.h>

#include "ir/passes/passes.h"
#include "text.h"

namespace flexjit::ir::test {
namespace {

constexpr const char* kDeclarations =
    "param i : int = 0; param j : int = 0; param f : float = 0.0; param g : float = 0.0; param p : bool = true\n"
    "buffer t : f32[?]; buffer flag : bool[?]\n";

// The program that observes an expression of any type: an int is compared with a variable, so that nothing cancels it.
std::string simplified(const std::string& type, const std::string& expression) {
  const std::string text = type == "float" ? "score = score * (" + expression + ")\n"
                           : type == "int" ? "mask = (" + expression + ") < kv_len\n"
                                           : "mask = (" + expression + ") == (q_idx < kv_idx)\n";
  return print(simplify(lowered(kDeclarations + text).program));
}

struct Pair {
  const char* type;
  const char* before;
  const char* after;
};

constexpr Pair kEqual[] = {
    {"int", "i + 0", "i"},
    {"int", "0 + i", "i"},
    {"int", "i + j", "j + i"},
    {"int", "(i + 3) + 4", "i + 7"},
    {"int", "i - 3", "i + -3"},
    {"int", "i - i", "0"},
    {"int", "0 - i", "-i"},
    {"int", "i + -j", "i - j"},
    {"int", "(i - j) + j", "i"},
    {"int", "(i + j) - j", "i"},
    {"int", "i - (i - j)", "j"},
    {"int", "-(i - j)", "j - i"},
    {"int", "-(-i)", "i"},
    {"int", "i * 1", "i"},
    {"int", "i * 0", "0"},
    {"int", "i * -1", "-i"},
    {"int", "i * j", "j * i"},
    {"int", "(i * 3) * 5", "i * 15"},
    {"int", "i // 1", "i"},
    {"int", "i // -1", "-i"},
    {"int", "(i // 4) // 8", "i // 32"},
    {"int", "i % 1", "0"},
    {"int", "i % i", "0"},
    {"int", "(i % 7) % 7", "i % 7"},
    {"int", "min(i, i)", "i"},
    {"int", "min(i, j)", "min(j, i)"},
    {"int", "max(max(i, 3), 5)", "max(i, 5)"},
    {"int", "max(i, max(i, j))", "max(i, j)"},
    {"int", "abs(-i)", "abs(i)"},
    {"int", "abs(abs(i))", "abs(i)"},
    {"int", "abs(i - j)", "abs(j - i)"},
    {"int", "i & -1", "i"},
    {"int", "i & 0", "0"},
    {"int", "i | 0", "i"},
    {"int", "i ^ i", "0"},
    {"int", "(i ^ j) ^ j", "i"},
    {"int", "i ^ -1", "~i"},
    {"int", "~~i", "i"},
    {"int", "i & ~i", "0"},
    {"int", "i << 3", "i * 8"},
    {"int", "i >> 0", "i"},
    {"int", "(i >> 2) >> 3", "i >> 5"},
    {"int", "(i >> 20) >> 20", "i >> 31"},
    {"int", "p ? i : i", "i"},
    {"int", "i < j ? i : j", "min(i, j)"},
    {"int", "i >= j ? i : j", "max(i, j)"},
    {"int", "p ? (p ? i : 7) : j", "p ? i : j"},
    {"int", "!p ? i : j", "p ? j : i"},
    {"bool", "p && true", "p"},
    {"bool", "p && false", "false"},
    {"bool", "p || true", "true"},
    {"bool", "!!p", "p"},
    {"bool", "p && p", "p"},
    {"bool", "p && !p", "false"},
    {"bool", "p || !p", "true"},
    {"bool", "p && (p || i < j)", "p"},
    {"bool", "i < j && p && i < j", "i < j && p"},
    {"bool", "p && i < j", "i < j && p"},
    {"bool", "p ? true : false", "p"},
    {"bool", "p ? false : true", "!p"},
    {"bool", "p ? i < j : false", "p && i < j"},
    {"bool", "p ? true : i < j", "p || i < j"},
    {"bool", "p == true", "p"},
    {"bool", "p != true", "!p"},
    {"bool", "p ^ p", "false"},
    {"bool", "i == i", "true"},
    {"bool", "i < i", "false"},
    {"bool", "i <= i", "true"},
    {"bool", "i > j", "j < i"},
    {"bool", "!(i < j)", "i >= j"},
    {"bool", "!(f == g)", "f != g"},
    {"bool", "i - j == 0", "i == j"},
    {"bool", "i + 3 == 5", "i == 2"},
    {"bool", "i > -1", "i >= 0"},
    {"bool", "i < 8", "i <= 7"},
    {"bool", "i <= 2147483647", "true"},
    {"bool", "f < f", "false"},
    {"float", "f * 1.0", "f"},
    {"float", "f * -1.0", "-f"},
    {"float", "f + -0.0", "f"},
    {"float", "f - 0.0", "f"},
    {"float", "f / 1.0", "f"},
    {"float", "f / 4.0", "f * 0.25"},
    {"float", "-f / -g", "f / g"},
    {"float", "-f * -g", "f * g"},
    {"float", "f + -g", "f - g"},
    {"float", "f - -g", "f + g"},
    {"float", "f + g", "g + f"},
    {"float", "-(-f)", "f"},
    {"float", "-(f * 3.0)", "f * -3.0"},
    {"float", "abs(f - g)", "abs(g - f)"},
    {"float", "floor(floor(f))", "floor(f)"},
    {"float", "round(float(i))", "float(i)"},
    {"float", "pow(f, 2.0)", "f * f"},
    {"float", "pow(f, 1.0)", "f"},
    {"float", "pow(f, 0.0)", "1.0"},
    {"float", "false ? t[i] : f", "f"},
};

constexpr Pair kDifferent[] = {
    {"float", "f + 0.0", "f"},      // -0 + 0 is 0
    {"float", "f * 0.0", "0.0"},    // NaN, inf, -0
    {"float", "f - f", "0.0"},      // inf - inf
    {"float", "0.0 - f", "-f"},     // 0 - 0 is 0
    {"float", "(f + g) - g", "f"},  // rounding
    {"float", "(f * 3.0) * 5.0", "f * 15.0"},
    {"float", "f / 3.0", "f * (1.0 / 3.0)"},
    {"float", "min(f, g)", "min(g, f)"},       // a NaN on one side
    {"float", "f <= g ? f : g", "min(f, g)"},  // -0 and 0
    {"float", "f < g ? f : g", "min(f, g)"},   // whose derivatives differ
    {"float", "f > g ? f : g", "max(f, g)"},
    {"float", "clamp(f, g, 1.0)", "min(max(f, g), 1.0)"},
    {"float", "-(f - g)", "g - f"},  // the sign of 0
    {"bool", "f == f", "true"},      // NaN
    {"bool", "f <= f", "true"},
    {"bool", "!(f < g)", "f >= g"},
    {"bool", "i + 1 > i", "true"},  // wraps
    {"int", "abs(abs(i) - 1)", "abs(i) - 1"},
    {"int", "(i * 4) // 4", "i"},
    {"int", "(i // 4) * 4", "i"},
    {"int", "int(float(i))", "i"},  // above 2^24
};

TEST(Simplify, FindsIdentities) {
  for (const Pair& pair : kEqual) {
    EXPECT_EQ(simplified(pair.type, pair.before), simplified(pair.type, pair.after)) << pair.before << " is " << pair.after;
  }
}

TEST(Simplify, LeavesAloneWhatIsNoIdentity) {
  for (const Pair& pair : kDifferent) {
    EXPECT_NE(simplified(pair.type, pair.before), simplified(pair.type, pair.after)) << pair.before << " is not " << pair.after;
  }
}

TEST(Simplify, RootsThatDoNothingVanish) {
  const Program program = simplify(lowered("score = score * 1.0\nmask = q_idx == q_idx\n").program);
  EXPECT_FALSE(program.score().valid());
  EXPECT_FALSE(program.mask().valid());
  EXPECT_EQ(program.size(), 0U);
}

TEST(Simplify, AMaskThatIsNeverTrueStays) {
  EXPECT_EQ(print(simplify(lowered("mask = q_idx < q_idx\n").program)), "%0 = const false : bool\nmask = %0\n");
}

TEST(Simplify, LongChainsTakeLinearSpace) {
  ProgramBuilder builder;
  const Id kv = builder.variable(Op::kKvIdx);
  Id mask = builder.const_bool(false);
  for (int i = 0; i < 20000; ++i) mask = builder.make(Op::kOr, {mask, builder.make(Op::kEq, {kv, builder.const_int(i * 3)})});
  const Program program = simplify(std::move(builder).finish({}, mask));
  EXPECT_EQ(program.size(), 1U + 2U * 20000U + 19999U);
}

}  // namespace
}  // namespace flexjit::ir::test
