// Which node computes each expression of a text, after every pass: what the inspector colours and names.
#include <gtest/gtest.h>

#include <map>

#include "ir/passes/passes.h"
#include "ir/program/compose.h"
#include "text.h"

namespace flexjit::ir::test {
namespace {

// Text of each expression -> the op that computes it, "gone" where nothing does. The last mark of a text counts: conversions of
// an expression are marked after it.
std::map<std::string, std::string> ops_by_text(const Interface& interface, const Program& program) {
  std::map<std::string, std::string> ops;
  EXPECT_EQ(interface.expressions.size(), program.marks().size());
  for (std::size_t i = 0; i < program.marks().size(); ++i) {
    const Expression& at = interface.expressions[i];
    const Id id = program.marks()[i];
    const std::string text = interface.texts.at(at.text).text.substr(at.begin, at.end - at.begin);
    ops[text] = id.valid() ? std::string(mnemonic(program.node(id).op)) : "gone";
  }
  return ops;
}

std::map<std::string, std::string> after_all_passes(const Lowered& ir) {
  return ops_by_text(ir.interface, simplify(prove_reads(simplify(ir.program), ir.interface)));
}

TEST(Marks, FollowAnExpressionThroughThePasses) {
  const auto ops =
      after_all_passes(lowered("buffer slope : f32[num_heads]; score = score + slope[h] * (kv_idx - q_idx) + (2 - 2)"));
  EXPECT_EQ(ops.at("slope[h]"), "read");
  EXPECT_EQ(ops.at("slope[h] * (kv_idx - q_idx)"), "mul");
  EXPECT_EQ(ops.at("kv_idx - q_idx"), "int_to_float") << "the conversion is what the product takes";
  EXPECT_EQ(ops.at("score + slope[h] * (kv_idx - q_idx) + (2 - 2)"), "add");
}

TEST(Marks, OfWhatVanishesPointNowhere) {
  const auto ops = after_all_passes(lowered("score = q_idx >= 0 && false ? score * float(h) : score"));
  EXPECT_EQ(ops.at("score * float(h)"), "gone");
}

TEST(Marks, OfComposedTextsKeepTheirTexts) {
  const Lowered stages[] = {lowered("score = score * 2.0"), lowered("score = score + float(h); mask = q_idx >= kv_idx")};
  const Lowered whole = compose(stages);
  EXPECT_EQ(whole.interface.texts.size(), 2U);
  const auto ops = after_all_passes(whole);
  EXPECT_EQ(ops.at("score * 2.0"), "mul");
  EXPECT_EQ(ops.at("score + float(h)"), "add");
  EXPECT_EQ(ops.at("q_idx >= kv_idx"), "le") << "with its operands the other way round";
}

TEST(Marks, AreNoPartOfAProgram) {
  const Program a = simplify(lowered("score = score + float(h)").program);
  const Program b = simplify(lowered("let bias = float(h); score = bias + score").program);
  EXPECT_EQ(a, b);
}

}  // namespace
}  // namespace flexjit::ir::test
