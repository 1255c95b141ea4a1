// Every operation of the expression IR runs in at least one kernel that is compared with the reference. The table is keyed by
// the mnemonics of lib/ir/program/ops.def: a new operation fails here until it has a program, and a program that no longer
// lowers to its operation fails too.
#include <ostream>
#include <set>

#include "harness.h"
#include "ir/lower/lower.h"
#include "ir/passes/passes.h"

namespace flexjit::conformance {
namespace {

struct OpProgram {
  std::string_view mnemonic;
  std::string_view score;  // may use the params i, f, flag and the buffers t (rank 1), a and c (rank 2)
  friend void PrintTo(const OpProgram& program, std::ostream* out) { *out << program.score; }
};

// What depends on score is continuous in it: fp32 and fp64 may then differ by a rounding only.
constexpr OpProgram kPrograms[] = {
    {"const", "score + 0.25"},
    {"score", "2.0 * score"},
    {"b", "score + b"},
    {"h", "score + 0.5 * h"},
    {"q_idx", "score + 0.01 * q_idx * (kv_idx % 3)"},
    {"kv_idx", "score - 0.02 * kv_idx"},
    {"q_len", "score * (kv_idx < q_len // 2 ? 1.0 : 0.5)"},
    {"kv_len", "score * (kv_idx < kv_len // 2 ? 1.0 : 0.5)"},
    {"num_heads", "score + float(h + kv_idx) / num_heads * 0.1"},
    {"num_kv_heads", "score + float(h + kv_idx) / num_kv_heads * 0.1"},
    {"kv_head", "score + kv_head * (kv_idx % 2)"},
    {"batch_size", "score + (b + kv_idx) % batch_size"},
    {"q_offset", "score + 0.01 * q_global * (kv_idx % 3)"},
    {"kv_offset", "score - 0.02 * kv_global"},
    {"param", "score * f + (flag ? kv_idx % i : 0)"},
    {"read", "score + t[kv_idx]"},
    {"dot", "score + dot(a[q_idx, :], c[kv_idx, :])"},
    {"neg", "-score + -(kv_idx % 3)"},
    {"add", "score + t[q_idx] + (q_idx + kv_idx) % 3"},
    {"sub", "t[q_idx] - score + (q_idx - kv_idx) % 3"},
    {"mul", "score * t[kv_idx] + (q_idx * kv_idx) % 3"},
    {"div", "score / (2.0 + t[kv_idx] * t[kv_idx])"},
    {"floordiv", "score + (q_idx - kv_idx) // 7 * 0.1 + (t[kv_idx] * 5.0) // 2.0 + (kv_idx // (q_idx % 3)) * 0.01"},
    {"mod", "score + (q_idx - kv_idx) % 7 * 0.1 + (t[kv_idx] * 5.0) % 2.0 + (kv_idx % (q_idx % 3 - 1)) * 0.01"},
    {"min", "min(score, t[kv_idx]) + min(q_idx, kv_idx) * 0.02"},
    {"max", "max(score, t[kv_idx]) + max(q_idx, kv_idx) * 0.02"},
    {"clamp", "clamp(score, -0.5, 0.5 + t[kv_idx]) + clamp(t[kv_idx], -0.2, 0.3)"},
    {"abs", "abs(score) + abs(q_idx - kv_idx) * 0.02"},
    {"and", "score + (q_idx & kv_idx) * 0.05 + (q_idx > 5 && kv_idx > 5 ? 1.0 : 0.0)"},
    {"or", "score + (q_idx | kv_idx) * 0.02 + (q_idx > 50 || kv_idx > 50 ? 1.0 : 0.0)"},
    {"xor", "score + (q_idx ^ kv_idx) * 0.02 + ((q_idx > 5) ^ (kv_idx > 5) ? 1.0 : 0.0)"},
    {"not", "score + (~kv_idx & 7) * 0.1 + (!(kv_idx < i) ? 1.0 : 0.0)"},
    {"shl", "score + (kv_idx << (q_idx & 3)) * 0.01"},
    {"shr", "score + ((kv_idx - 40) >> (q_idx & 3)) * 0.02"},
    {"eq", "score + (kv_idx % 3 == q_idx % 3 ? 1.0 : 0.0) + ((kv_idx > 9) == flag ? 0.5 : 0.0)"},
    {"ne", "score + (kv_idx % 3 != q_idx % 3 ? 1.0 : 0.0) + (t[kv_idx] != t[q_idx] ? 0.5 : 0.0)"},
    {"lt", "score + (kv_idx < q_idx ? 1.0 : 0.0) + (t[kv_idx] < 0.1 ? 0.5 : 0.0)"},
    {"le", "score + (kv_idx <= q_idx ? 1.0 : 0.0) + (t[kv_idx] <= 0.1 ? 0.5 : 0.0)"},
    {"gt", "score + (kv_idx > q_idx ? 1.0 : 0.0) + (t[kv_idx] > 0.1 ? 0.5 : 0.0)"},
    {"ge", "score + (kv_idx >= q_idx ? 1.0 : 0.0) + (t[kv_idx] >= 0.1 ? 0.5 : 0.0)"},
    {"select", "where(kv_idx % 2 == 0, score, -score) + where(q_idx > kv_idx, q_idx, kv_idx) * 0.01"},
    {"int_to_float", "score * float(kv_idx % 5)"},
    {"float_to_int", "score + int(t[kv_idx] * 9.0) * 0.1 + int(t[kv_idx] * 1e30) % 5"},
    {"bool_to_int", "score + int(kv_idx < q_idx) * 0.7"},
    {"int_to_long", "score + (w[kv_idx] > q_idx ? 1.0 : 0.0) + float(w[q_idx] // 7 % 5) * 0.1"},
    {"long_to_int", "score + t[w[kv_idx] >> 33 & 7] + int(w[kv_idx] // (q_idx - 20)) % 3 * 0.1"},
    {"floor", "score + floor(t[kv_idx] * 3.0)"},
    {"ceil", "score + ceil(t[kv_idx] * 3.0)"},
    {"round", "score + round(t[kv_idx] * 3.0) + round((kv_idx - q_idx) * 0.5) * 0.02"},
    {"sqrt", "sqrt(abs(score) + 0.5) + sqrt(float(kv_idx))"},
    {"exp", "exp(score * 0.5) + exp(t[kv_idx])"},
    {"exp2", "exp2(score * 0.5) + exp2(t[kv_idx])"},
    {"log", "log(abs(score) + 0.5) + log(float(kv_idx + 1))"},
    {"log2", "log2(abs(score) + 0.5) + log2(float(kv_idx + 1))"},
    {"log1p", "log1p(abs(score)) + log1p(float(kv_idx))"},
    {"tanh", "5.0 * tanh(score / 5.0) + tanh(t[kv_idx])"},
    {"erf", "erf(score) + erf(t[kv_idx])"},
    {"sin", "sin(score) + sin(kv_idx * 0.3)"},
    {"cos", "cos(score) + cos(kv_idx * 0.3)"},
    {"pow", "pow(abs(score) + 0.5, 1.5) + pow(t[kv_idx], 2.0) + pow(0.9, float(kv_idx % 9))"},
};

constexpr std::string_view kPrelude =
    "param i : int = 6; param f : float = 0.7; param flag : bool = true\n"
    "buffer t : f32[?]; buffer a : f32[q_len, 6]; buffer c : f32[kv_len, 6]; buffer w : i64[?]\nscore = ";

std::string program_of(const OpProgram& entry) { return std::string(kPrelude) + std::string(entry.score); }

// The simplifier turns a > b into b < a: kernels see these only where nothing was simplified.
const std::set<std::string_view> kCanonicalised = {"gt", "ge"};

// The printed IR of what the kernel is made from.
std::string ir_text(const OpProgram& entry) {
  dsl::Source source;
  source.file = dsl::SourceText{"program", program_of(entry)};
  ir::Program lowered = ir::lower_source(source).value().program;
  return ir::print(kCanonicalised.contains(entry.mnemonic) ? lowered : ir::simplify(lowered));
}

// No score has these: differentiation makes them, or dropout (dropout_test.cpp), or they are of feature maps (linear_test.cpp).
const std::set<std::string_view> kOfNoScore = {"x",          "sumsq",          "feature", "score_grad",
                                               "accumulate", "accumulate_row", "philox",  "philox_of_four"};

TEST(OpCoverage, EveryOpHasAProgram) {
  std::set<std::string_view> covered = kOfNoScore;
  for (const OpProgram& entry : kPrograms)
    EXPECT_TRUE(covered.insert(entry.mnemonic).second) << entry.mnemonic << " stands twice";
  for (int i = 0; i < ir::kOpCount; ++i) {
    const std::string_view mnemonic = ir::mnemonic(static_cast<ir::Op>(i));
    EXPECT_TRUE(covered.contains(mnemonic)) << mnemonic << " has no program in this file";
  }
  EXPECT_EQ(covered.size(), static_cast<std::size_t>(ir::kOpCount)) << "a program is for an operation that does not exist";
}

TEST(OpCoverage, EveryProgramReachesTheKernelWithItsOp) {
  for (const OpProgram& entry : kPrograms) {
    std::string text = ir_text(entry);
    EXPECT_NE(text.find("= " + std::string(entry.mnemonic)), std::string::npos) << entry.mnemonic << " is not in\n" << text;
  }
}

// Some of 33 bits and more, of either sign, and some small ones.
std::vector<std::int64_t> wide_numbers(std::size_t count) {
  std::vector<std::int64_t> numbers;
  for (std::size_t i = 0; i < count; ++i) {
    const auto small = static_cast<std::int64_t>(i * 7919 % 101) - 50;
    numbers.push_back(i % 3 == 0 ? small : small * 0x123456789);
  }
  return numbers;
}

class OpTest : public testing::TestWithParam<OpProgram> {};

TEST_P(OpTest, KernelEqualsReference) {
  constexpr Shape kShape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 53, .kv_len = 70, .head_dim = 16};
  Random random(11);
  auto rows = static_cast<std::size_t>(kShape.q_len), columns = static_cast<std::size_t>(kShape.kv_len);
  Captures captures;
  captures.add("t", {kShape.max_len()}, random.normals(columns)).add("a", {kShape.q_len, 6}, random.normals(rows * 6, 0.4F));
  captures.add("c", {kShape.kv_len, 6}, random.normals(columns * 6, 0.4F));
  captures.add("w", {kShape.kv_len}, wide_numbers(columns));
  expect_matches_reference(spec_of(program_of(GetParam()), kShape), kShape, &captures.bindings());
}

INSTANTIATE_TEST_SUITE_P(Ops, OpTest, testing::ValuesIn(kPrograms),
                         [](const testing::TestParamInfo<OpProgram>& one) { return std::string(one.param.mnemonic); });

}  // namespace
}  // namespace flexjit::conformance
