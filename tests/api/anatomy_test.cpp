// Parts of patterns: which there are, what their variants compute, and the edits of declarations. Variants are judged by the
// reference's outputs, which know nothing of parts.
#include "flexjit/anatomy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "flexjit/engine.h"
#include "flexjit/vocabulary.h"

namespace flexjit::test {
namespace {

AttentionSpec spec_of(const std::string& program) {
  AttentionSpec spec;
  spec.program = program;
  spec.head_dim = 4;
  return spec;
}

PatternAnatomy anatomy_of(const std::string& program) { return dissect(spec_of(program), {}).value(); }

// "role loop text -> replacement", the parent's indented below it.
std::string listed(const std::string& program) {
  std::string text;
  for (const PatternPart& part : anatomy_of(program).parts) {
    text += part.parent < 0 ? "" : std::to_string(part.parent) + ">";
    text += std::string(name_of(part.role)) + " " + (part.loop ? std::string(name_of(*part.loop)) : "?");
    text += " " + part.text + " -> " + part.replacement + "\n";
  }
  return text;
}

// With few query rows there is no table of diagonals, and a head belongs to a row.
TEST(Anatomy, LoopsAreThoseOfTheKernelThatTheCallTakes) {
  const AttentionSpec spec =
      spec_of("buffer slope : f32[num_heads]\nscore = score + slope[h] * log(1.0 + abs(kv_idx - q_idx))\n");
  const PatternAnatomy prefill = dissect(spec, {}).value();
  const PatternAnatomy decode = dissect(spec, {}, {.heads = 8, .kv_heads = 2, .q_len = 1, .kv_len = 1000}).value();
  EXPECT_FALSE(prefill.decodes);
  EXPECT_TRUE(decode.decodes);
  EXPECT_EQ(prefill.parts.at(0).loop, Loop::kDiagonal);
  EXPECT_EQ(decode.parts.at(0).loop, Loop::kScore);
  EXPECT_EQ(prefill.reads.at(0).loop, Loop::kTile);
  EXPECT_EQ(decode.reads.at(0).loop, Loop::kRow);
}

TEST(Anatomy, SoftcapIsACallOfADivision) {
  EXPECT_EQ(listed("const cap : float = 30.0\nscore = cap * tanh(score / cap)\nmask = q_idx >= kv_idx\n"),
            "score score cap * tanh(score / cap) -> score\n"
            "mask score q_idx >= kv_idx -> true\n"
            "0>call score tanh(score / cap) -> (score / cap)\n"
            "2>division score score / cap -> score\n");
}

// A result that has one part is that part; what is computed along diagonals has its pieces there.
TEST(Anatomy, LoopsAreThoseOfTheKernel) {
  EXPECT_EQ(listed("buffer slope : f32[num_heads]\nscore = score + slope[h] * log(1.0 + abs(kv_idx - q_idx))\n"),
            "term diagonal slope[h] * log(1.0 + abs(kv_idx - q_idx)) -> score\n"
            "0>factor tile slope[h] -> log((1.0 + abs((kv_idx - q_idx))))\n"
            "0>factor diagonal log(1.0 + abs(kv_idx - q_idx)) -> slope[h]\n"
            "2>call diagonal log(1.0 + abs(kv_idx - q_idx)) -> (1.0 + abs((kv_idx - q_idx)))\n"
            "3>term diagonal abs(kv_idx - q_idx) -> 1.0\n"
            "4>call diagonal abs(kv_idx - q_idx) -> (kv_idx - q_idx)\n");
}

TEST(Anatomy, ConditionsOfAMask) {
  const PatternAnatomy anatomy = anatomy_of(
      "buffer a : i32[q_len]\nbuffer b2 : i32[kv_len]\nlet d = q_idx - kv_idx\nmask = a[q_idx] == b2[kv_idx] && (d >= 0 || d < "
      "-8)\n");
  std::vector<std::string> conditions;
  for (const PatternPart& part : anatomy.parts) {
    EXPECT_TRUE(part.decides_mask) << part.text;
    if (part.role == PartRole::kCondition) conditions.push_back(part.text);
  }
  std::ranges::sort(conditions);
  EXPECT_EQ(conditions, (std::vector<std::string>{"a[q_idx] == b2[kv_idx]", "d < -8", "d >= 0", "d >= 0 || d < -8"}));
  ASSERT_EQ(anatomy.reads.size(), 2U);
  for (const CapturedRead& read : anatomy.reads) {
    EXPECT_TRUE(read.in_mask && read.proved);
    EXPECT_EQ(read.loop, read.buffer == "a" ? Loop::kRow : Loop::kColumn);
    EXPECT_EQ(read.place.line, 4U);
    EXPECT_EQ(read.place.column, read.buffer == "a" ? 8U : 20U);
  }
}

TEST(Anatomy, ReadsSayHowTheyAreMade) {
  const auto read = [](const std::string& index) {
    return anatomy_of("buffer t : f32[1024]\nbuffer u : f32[q_len, kv_len]\nscore = score + " + index + "\n").reads.at(0);
  };
  EXPECT_TRUE(read("u[q_idx, kv_idx]").contiguous);
  EXPECT_TRUE(read("u[q_idx, kv_idx]").proved);
  EXPECT_FALSE(read("t[(q_idx * 7) ^ kv_idx]").contiguous);
  EXPECT_FALSE(read("t[(q_idx * 7) ^ kv_idx]").proved);
  EXPECT_TRUE(read("t[clamp((q_idx * 7) ^ kv_idx, 0, 1023)]").proved);
  EXPECT_EQ(read("t[(q_idx * 7) ^ kv_idx]").loop, Loop::kScore);
}

TEST(Anatomy, PlacesKeepTheirBrackets) {
  const PatternAnatomy anatomy = anatomy_of("score = score + (0.5 + sin(score)) * (q_idx % 3)  # end\n");
  const auto part = std::ranges::find(anatomy.parts, PartRole::kFactor, &PatternPart::role);
  ASSERT_NE(part, anatomy.parts.end());
  EXPECT_EQ(part->text, "q_idx % 3");
  EXPECT_EQ(part->place.snippet.substr(part->place.column - 1, part->place.length), "q_idx % 3");
  EXPECT_EQ(anatomy.parts[0].text, "score + (0.5 + sin(score)) * (q_idx % 3)");
}

TEST(Anatomy, DivisorsNameTheirParams) {
  const PatternAnatomy anatomy =
      anatomy_of("param n : int = 4\nparam m : int = 2\nlet s = n + 1\nscore = score + m * (kv_idx // s)\n");
  const auto division = std::ranges::find(anatomy.parts, PartRole::kDivision, &PatternPart::role);
  ASSERT_NE(division, anatomy.parts.end());
  EXPECT_EQ(division->divisors, std::vector<std::string>{"n"});
}

constexpr int kSide = 24;

std::vector<float> reference_output(const AttentionSpec& spec) {
  std::vector<float> x(kSide * 4), out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
  Engine engine({.backend = Backend::kReference});
  const Attention attention = engine.compile(spec).value();
  const TensorView view(x.data(), DType::kF32, {1, 1, kSide, 4});
  const MutableTensorView result(out.data(), DType::kF32, {1, 1, kSide, 4});
  attention.run_reference({.q = view, .k = view, .v = view, .out = result}).value();
  return out;
}

// Each variant computes what the pattern computes with the part's text left out by hand.
TEST(Anatomy, VariantsLackTheirPart) {
  const std::string before = "let near = abs(q_idx - kv_idx)\ndef twice(a) = a * 2\n";
  const std::pair<std::string, std::string> by_hand[] = {
      {"tanh(score + twice(near) * 0.1)",
       "score = score + twice(near) * 0.1 - (q_idx // 3) * 0.2\nmask = near < 9 || q_idx % 2 == 0\n"},
      {"twice(near) * 0.1", "score = tanh(score) - (q_idx // 3) * 0.2\nmask = near < 9 || q_idx % 2 == 0\n"},
      {"(q_idx // 3) * 0.2", "score = tanh(score + twice(near) * 0.1)\nmask = near < 9 || q_idx % 2 == 0\n"},
      {"q_idx // 3", "score = tanh(score + twice(near) * 0.1) - q_idx * 0.2\nmask = near < 9 || q_idx % 2 == 0\n"},
      {"near < 9", "score = tanh(score + twice(near) * 0.1) - (q_idx // 3) * 0.2\nmask = q_idx % 2 == 0\n"},
      {"q_idx % 2 == 0", "score = tanh(score + twice(near) * 0.1) - (q_idx // 3) * 0.2\nmask = near < 9\n"}};
  const PatternAnatomy anatomy =
      anatomy_of(before + "score = tanh(score + twice(near) * 0.1) - (q_idx // 3) * 0.2\nmask = near < 9 || q_idx % 2 == 0\n");
  for (const auto& [text, program] : by_hand) {
    // Of a factor and the division in it, which have one text, the inner one.
    const auto part = std::find_if(anatomy.parts.rbegin(), anatomy.parts.rend(),
                                   [&text = text](const PatternPart& p) { return p.text == text; });
    ASSERT_NE(part, anatomy.parts.rend()) << text;
    EXPECT_EQ(reference_output(part->variant), reference_output(spec_of(before + program))) << text;
  }
}

TEST(Anatomy, VariantsAreDifferentKernels) {
  const PatternAnatomy anatomy =
      anatomy_of("let d = q_idx - kv_idx\nlet e = d * 2\nscore = score + e * 0.5 + 0 * score\nmask = true && e < 64\n");
  std::vector<std::string> programs;
  for (const PatternPart& part : anatomy.parts) programs.push_back(part.variant.program);
  std::ranges::sort(programs);
  EXPECT_EQ(std::ranges::unique(programs).begin(), programs.end());
  for (const PatternPart& part : anatomy.parts) EXPECT_NE(part.text, "true");
}

TEST(Anatomy, NamesOfLetsSayLessThanTheirValues) {
  const std::string parts = listed("let bias = 0.1 * tanh(float(kv_idx))\nscore = score + bias\n");
  EXPECT_NE(parts.find(">let column 0.1 * tanh(float(kv_idx)) -> 0\n"), std::string::npos) << parts;
  EXPECT_EQ(parts.find("term"), std::string::npos) << parts;
}

TEST(Anatomy, ManyPartsAreCut) {
  std::string program = "score = score";
  for (int i = 2; i < 200; ++i) program += " + kv_idx % " + std::to_string(i);
  EXPECT_LE(anatomy_of(program + "\n").parts.size(), 64U);
}

TEST(Anatomy, MistakesAreReported) {
  EXPECT_EQ(dissect(spec_of("score = scor\n"), {}).diagnostics()[0].kind, "unknown-name");
  EXPECT_EQ(dissect(spec_of(""), {}).diagnostics()[0].kind, "bad-option");
  EngineOptions options;
  options.target = "z80";
  EXPECT_EQ(dissect(spec_of("score = score\n"), options).diagnostics()[0].kind, "unsupported-target");
}

TEST(WithConstant, ComputesTheSameWithoutTheParam) {
  const std::string text = "param n : int = 5; param f : float\nscore = score * f - kv_idx // n\n";
  const AttentionSpec n = with_constant(spec_of(text), "n", std::int32_t{3}).value();
  const AttentionSpec both = with_constant(n, "f", 2.0F).value();
  EXPECT_TRUE(Engine({.backend = Backend::kReference}).compile(both).value().params().empty());
  EXPECT_EQ(reference_output(both), reference_output(spec_of("score = score * 2.0 - kv_idx // 3\n")));
}

TEST(WithConstant, MistakesAreReported) {
  const AttentionSpec spec = spec_of("param n : int = 5; param f : float = 1.0\nscore = score * f - kv_idx // n\n");
  EXPECT_EQ(with_constant(spec, "m", std::int32_t{3}).diagnostics()[0].kind, "unknown-binding");
  EXPECT_EQ(with_constant(spec, "n", 1.5F).diagnostics()[0].kind, "declared-type");
  EXPECT_EQ(with_constant(spec, "n", std::int32_t{0}).diagnostics()[0].kind, "division-by-zero");
  EXPECT_EQ(with_constant(spec, "f", INFINITY).diagnostics()[0].kind, "bad-option");
  EXPECT_EQ(with_constant(spec_of(""), "f", 1.0F).diagnostics()[0].kind, "bad-option");
}

TEST(WithExtents, Prove) {
  const AttentionSpec spec = spec_of("buffer t : f32[?]\nscore = score + t[kv_idx]\n");
  EXPECT_FALSE(dissect(spec, {}).value().reads.at(0).proved);
  EXPECT_TRUE(dissect(with_extents(spec, "t", {"kv_len"}).value(), {}).value().reads.at(0).proved);
  EXPECT_EQ(with_extents(spec, "u", {"kv_len"}).diagnostics()[0].kind, "unknown-binding");
  EXPECT_EQ(with_extents(spec, "t", {"kv_len", "2"}).diagnostics()[0].kind, "wrong-rank");
  EXPECT_EQ(with_extents(spec, "t", {"-1"}).diagnostics()[0].kind, "extent");
}

TEST(Vocabulary, EveryWordIsUnderstood) {
  Engine engine({.backend = Backend::kReference});
  for (std::string_view word : words_of(WordKind::kValue)) {
    const std::string program = "mask = true\nscore = " + std::string(word) + "\n";
    const bool is_bool = word == "true" || word == "false";
    EXPECT_EQ(engine.compile(spec_of(program)).has_value(), !is_bool) << word;
  }
  for (WordKind kind :
       {WordKind::kStatement, WordKind::kFunction, WordKind::kOperator, WordKind::kType, WordKind::kElementType})
    EXPECT_FALSE(words_of(kind).empty());
  for (std::string_view word : words_of(WordKind::kFunction)) {
    const auto result = engine.compile(spec_of("score = " + std::string(word) + "(1, 2, 3, 4)\n"));
    EXPECT_TRUE(result || result.diagnostics()[0].kind != "unknown-function") << word;
  }
  for (std::string_view word : words_of(WordKind::kElementType))
    EXPECT_TRUE(engine.compile(spec_of("buffer t : " + std::string(word) + "[4]\nscore = score\n"))) << word;
}

}  // namespace
}  // namespace flexjit::test
