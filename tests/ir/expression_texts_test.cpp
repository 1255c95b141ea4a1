// Expressions as people write them: no parenthesis too many, and none too few, because what is printed reads back as the
// program that it was printed from.
#include "ir/expression_texts.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "ir/passes.h"
#include "text.h"

namespace flexjit::ir::test {
namespace {

std::string mask_text(const std::string& expression) {
  const Lowered ir = lowered("buffer t : i32[?]\nbuffer s : f32[num_heads, 8]\nparam w : int = 3\nmask = " + expression + "\n");
  return ExpressionTexts(ir.program, ir.interface)[ir.program.mask()];
}

TEST(ExpressionTexts, KeepsWhatPeopleWrite) {
  for (const char* text : {"q_idx - kv_idx < w && kv_idx <= q_idx", "(q_idx + 1) * 2 == kv_idx", "q_idx - (kv_idx - w) > 0",
                           "t[q_idx // 2] == t[kv_idx % w]", "(q_idx >> 2 & 3) == (kv_idx | w)", "!(q_idx < 3 || kv_idx < 3)",
                           "q_idx > 0 && (kv_idx > 0 || h == 1)", "-q_idx + kv_idx != -1", "max(q_idx, kv_idx) < 8",
                           "(q_idx < w) == (kv_idx < w)", "dot(s[h, :], s[num_heads - 1, :]) > 0.5",
                           "(h == 0 ? q_idx : kv_idx) < w", "float(q_idx) / 2.0 - (float(kv_idx) - 1.0) < inf"})
    EXPECT_EQ(mask_text(text), text);
}

TEST(ExpressionTexts, NamesStandForNodes) {
  const Lowered ir = lowered("mask = (q_idx + 1) * kv_idx > 3\n");
  const ir::Id product = ir.program.operand(ir.program.mask(), 0);
  std::vector<std::string> names(ir.program.size());
  names[ir.program.operand(product, 0).index] = "sum";
  const ExpressionTexts texts(ir.program, ir.interface, names);
  EXPECT_EQ(texts[ir.program.mask()], "sum * kv_idx > 3");
  EXPECT_EQ(texts[ir.program.operand(product, 0)], "q_idx + 1");
}

TEST(ExpressionTexts, LongOperandsBecomeNumbers) {
  std::string text = "let a0 = q_idx * kv_idx + 1\n";
  for (int i = 1; i < 60; ++i)
    text += "let a" + std::to_string(i) + " = a" + std::to_string(i - 1) + " * a" + std::to_string(i - 1) + "\n";
  const Lowered ir = lowered(text + "mask = a59 > 0\n");
  const ExpressionTexts texts(ir.program, ir.interface);
  for (std::uint32_t i = 0; i < ir.program.size(); ++i) EXPECT_LT(texts[Id{i}].size(), 3 * ExpressionTexts::kMaxOperand);
  EXPECT_TRUE(std::regex_match(texts[ir.program.mask()], std::regex("%\\d+ > 0"))) << texts[ir.program.mask()];
}

// Without the numbers of places in the text, which differ.
std::string without_sites(const Program& program) { return std::regex_replace(print(program), std::regex(" at \\d+"), ""); }

TEST(ExpressionTexts, EveryExampleReadsBackAsItself) {
  int examples = 0;
  for (const auto& file : std::filesystem::directory_iterator(FLEXJIT_SOURCE_DIR "/dsl-examples")) {
    std::stringstream text;
    text << std::ifstream(file.path()).rdbuf();
    const Lowered ir = lowered(text.str());
    const ExpressionTexts texts(ir.program, ir.interface);
    std::string printed, line;
    while (std::getline(text, line))
      if (line.starts_with("buffer") || line.starts_with("param") || line.starts_with("const")) printed += line + "\n";
    if (ir.program.score().valid()) printed += "score = " + texts[ir.program.score()] + "\n";
    if (ir.program.mask().valid()) printed += "mask = " + texts[ir.program.mask()] + "\n";
    if (std::regex_search(printed, std::regex("%\\d"))) continue;  // too long to be written out
    ++examples;
    EXPECT_EQ(without_sites(simplify(lowered(printed).program)), without_sites(simplify(ir.program))) << file.path() << "\n"
                                                                                                      << printed;
  }
  EXPECT_GT(examples, 40);
}

}  // namespace
}  // namespace flexjit::ir::test
