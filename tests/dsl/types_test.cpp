// Which types operators and functions take, and what they give: seen through `const` declarations, which name their type.
#include <gtest/gtest.h>

#include "sources.h"

namespace flexjit::dsl_test {
namespace {

// Operands of each type that are no constants, so that nothing is decided by a value.
constexpr const char* kPrelude =
    "param i : int\nparam f : float\nparam p : bool\nbuffer bi : i64[?]\nbuffer bu : u8[?]\nbuffer bb : bool[?]\nbuffer bh : "
    "f16[?]\n";

// "int", "float", "bool", or the kinds of the errors. Found by what accepts it: only an int indexes, only a bool is a mask.
std::string type_of(const std::string& expression) {
  const std::string let = kPrelude + ("let x = " + expression + "\n");
  const std::string wrong = errors(file(let + "score = score\n"));
  if (!wrong.empty()) return wrong;
  if (errors(file(let + "mask = x\n")).empty()) return "bool";
  if (errors(file(let + "score = score + bh[x]\n")).empty()) return "int";
  return errors(file(let + "score = x\n")).empty() ? "float" : "none";
}

// Long because it is a table.
TEST(Types, OfExpressions) {
  const std::pair<const char*, const char*> cases[] = {
      {"1", "int"},
      {"1.0", "float"},
      {"true", "bool"},
      {"inf", "float"},
      {"pi", "float"},
      {"q", "int"},
      {"kv_head", "int"},
      {"score", "float"},
      {"i", "int"},
      {"f", "float"},
      {"p", "bool"},
      {"bi[i]", "int"},
      {"bu[i]", "int"},
      {"bb[i]", "bool"},
      {"bh[i]", "float"},
      {"bi[bi[i]]", "int"},
      {"i + i", "int"},
      {"i + f", "float"},
      {"f * i", "float"},
      {"i / i", "float"},
      {"i // i", "int"},
      {"i % i", "int"},
      {"f // i", "float"},
      {"f % f", "float"},
      {"-i", "int"},
      {"-f", "float"},
      {"~i", "int"},
      {"~p", "bool"},
      {"!p", "bool"},
      {"i & i", "int"},
      {"p | p", "bool"},
      {"p ^ p", "bool"},
      {"i << i", "int"},
      {"i >> 2", "int"},
      {"i < f", "bool"},
      {"i == i", "bool"},
      {"p == p", "bool"},
      {"p != bb[0]", "bool"},
      {"p && bb[i]", "bool"},
      {"i in {1, 2}", "bool"},
      {"f in {1, 2.5}", "bool"},
      {"i not in {i}", "bool"},
      {"p ? i : i", "int"},
      {"p ? i : f", "float"},
      {"p ? p : p", "bool"},
      {"where(p, f, i)", "float"},
      {"abs(i)", "int"},
      {"abs(f)", "float"},
      {"min(i, i, i)", "int"},
      {"max(i, f)", "float"},
      {"clamp(i, 0, 3)", "int"},
      {"clamp(i, 0, 3.0)", "float"},
      {"relu(i)", "int"},
      {"floor(i)", "float"},
      {"sqrt(i)", "float"},
      {"pow(i, 2)", "float"},
      {"int(f)", "int"},
      {"int(p)", "int"},
      {"int(i)", "int"},
      {"float(i)", "float"},
      {"float(p)", "float"},
      {"bool(i)", "bool"},
      {"bool(f)", "bool"},
      {"bool(p)", "bool"},
      {"p + 1", "bool-arithmetic"},
      {"-p", "bool-arithmetic"},
      {"p < p", "operand-type"},
      {"p == i", "operand-type"},
      {"i & p", "operand-type"},
      {"f & f", "operand-type"},
      {"f << i", "operand-type"},
      {"~f", "operand-type"},
      {"i && p", "condition-type"},
      {"!i", "condition-type"},
      {"not f", "condition-type"},
      {"i ? 1 : 2", "condition-type"},
      {"p ? p : i", "branch-type"},
      {"bi[f]", "index-type"},
      {"bi[p]", "index-type"},
      {"abs(p)", "bool-arithmetic"},
      {"exp(p)", "bool-arithmetic"},
      {"i && f", "condition-type condition-type"},
      {"p in {p}", "bool-arithmetic bool-arithmetic"},
  };
  for (auto [expression, expected] : cases) EXPECT_EQ(type_of(expression), expected) << expression;
}

TEST(Types, TheScoreMayBeInt) {
  EXPECT_EQ(program(score("q")), "%0 = q_idx : int\n%1 = int_to_float %0 : float\nscore = %1\n");
}

TEST(Types, DeclaredNamesOfTheStringFormTakeTheirTypeFromTheCaller) {
  const std::vector<BufferDeclaration> buffers = {{"g", DType::kBool, 1}, {"n", DType::kI64, 2}};
  const std::vector<ParamDeclaration> params = {{"w", std::int32_t{3}}, {"c", 2.0f}, {"on", true}};
  EXPECT_EQ(errors(mask("g[q] && on && n[b, kv] < w && float(w) < c", buffers, params)), "");
  EXPECT_EQ(errors(mask("g[w] && c", buffers, params)), "condition-type");
  const Result<ir::Lowered> lowered = ir::lower_source(mask("on", buffers, params));
  ASSERT_TRUE(lowered.has_value());
  EXPECT_EQ(lowered->interface.buffers.size(), 2u);
  EXPECT_EQ(lowered->interface.buffers[1].extents, std::vector<ir::Extent>(2));
  EXPECT_EQ(lowered->interface.params[1].default_value, Scalar(2.0f));
  EXPECT_EQ(lowered->program.params().size(), 3u);
}

TEST(Types, DeclarationsReachTheInterfaceInOrder) {
  const Result<ir::Lowered> lowered = ir::lower_source(
      file("param w : int\nbuffer unused : u8[w, ?]\nconst n : int = 2 + 3\nparam p : float = 1\nbuffer t : f32[n, 7, kv_len]\n"
           "param on : bool = 1 < 2\nscore = score + t[0, 0, kv] * p"));
  ASSERT_TRUE(lowered.has_value()) << render(lowered.diagnostics());
  const ir::Interface& interface = lowered->interface;
  ASSERT_EQ(interface.buffers.size(), 2u);
  EXPECT_EQ(interface.buffers[0].name, "unused");
  EXPECT_EQ(interface.buffers[0].extents[0], (ir::Extent{.kind = ir::Extent::Kind::kParam, .param = 0}));
  EXPECT_EQ(interface.buffers[0].extents[1], ir::Extent{});
  EXPECT_EQ(interface.buffers[1].extents[0], (ir::Extent{.kind = ir::Extent::Kind::kLiteral, .literal = 5}));
  EXPECT_EQ(interface.buffers[1].extents[1], (ir::Extent{.kind = ir::Extent::Kind::kLiteral, .literal = 7}));
  EXPECT_EQ(interface.buffers[1].extents[2], (ir::Extent{.kind = ir::Extent::Kind::kBuiltin, .builtin = ir::Op::kKvLen}));
  ASSERT_EQ(interface.params.size(), 3u);
  EXPECT_FALSE(interface.params[0].has_default);
  EXPECT_EQ(interface.params[1].default_value, Scalar(1.0f));
  EXPECT_EQ(interface.params[2].default_value, Scalar(true));
  ASSERT_EQ(interface.sites.size(), 1u);
  EXPECT_EQ(interface.sites[0].line, 7u);
  EXPECT_EQ(interface.sites[0].column, 17u);
  EXPECT_EQ(interface.sites[0].length, 11u);
  EXPECT_EQ(interface.sites[0].snippet, "score = score + t[0, 0, kv] * p");
}

}  // namespace
}  // namespace flexjit::dsl_test
