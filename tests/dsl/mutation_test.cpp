// Broken texts: seeds with random pieces deleted, repeated, exchanged and inserted. The front end must answer each with a
// program or with errors that render. The fuzzer of tests/fuzz does the same guided by coverage; this one runs everywhere.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "source_files.h"
#include "sources.h"
#include "support/checklist.h"

namespace flexjit::dsl_test {
namespace {

constexpr int kTexts = 20'000;

const std::vector<std::string>& fragments() {
  static const std::vector<std::string> pieces = {"(",
                                                  ")",
                                                  "[",
                                                  "]",
                                                  "{",
                                                  "}",
                                                  ",",
                                                  ":",
                                                  "?",
                                                  "=",
                                                  "==",
                                                  "!=",
                                                  "<",
                                                  "<=",
                                                  ">>",
                                                  "<<",
                                                  "+",
                                                  "-",
                                                  "*",
                                                  "/",
                                                  "//",
                                                  "%",
                                                  "&",
                                                  "&&",
                                                  "|",
                                                  "||",
                                                  "^",
                                                  "~",
                                                  "!",
                                                  ";",
                                                  "\n",
                                                  " ",
                                                  "#",
                                                  "\t",
                                                  "param ",
                                                  "const ",
                                                  "buffer ",
                                                  "let ",
                                                  "def ",
                                                  "score",
                                                  "mask",
                                                  " in {",
                                                  " and ",
                                                  " or ",
                                                  "not ",
                                                  "q",
                                                  "kv_idx",
                                                  "h",
                                                  "x",
                                                  "f(",
                                                  "t[",
                                                  "dot(",
                                                  "where(",
                                                  "min(",
                                                  "1",
                                                  "0",
                                                  "2.5",
                                                  "1e9",
                                                  "0xffffffff",
                                                  "2147483648",
                                                  ": int",
                                                  ": f32[",
                                                  "true",
                                                  "inf",
                                                  "\xc3\xa9",
                                                  "\xff",
                                                  std::string("\0", 1),
                                                  "((((((((",
                                                  "- - - -",
                                                  "? 1 : "};
  return pieces;
}

class Mutator {
 public:
  Mutator(std::uint64_t seed, std::vector<std::string> seeds) : random_(seed), seeds_(std::move(seeds)) {}

  std::string next() {
    std::string text = seeds_[below(seeds_.size())];
    for (std::size_t i = 0, count = 1 + below(6); i < count; ++i) mutate(text);
    return text;
  }

 private:
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }

  void mutate(std::string& text) {
    const std::size_t at = below(text.size() + 1);
    const std::size_t length = std::min(below(12), text.size() - at);
    switch (below(4)) {
      case 0: text.erase(at, length); break;
      case 1: text.insert(at, fragments()[below(fragments().size())]); break;
      case 2: text.insert(at, text.substr(below(text.size() + 1), length)); break;
      default: {
        const std::string& other = seeds_[below(seeds_.size())];
        text.replace(at, length, other.substr(below(other.size() + 1), below(20)));
      }
    }
  }

  std::mt19937_64 random_;
  std::vector<std::string> seeds_;
};

void expect_an_answer(const dsl::Source& source) {
  const Result<ir::Lowered> lowered = ir::lower_source(source);
  if (lowered) {
    EXPECT_FALSE(ir::print(lowered->program, lowered->interface).empty() && lowered->program.size() > 0);
    return;
  }
  ASSERT_FALSE(lowered.diagnostics().empty());
  ASSERT_LE(lowered.diagnostics().size(), 21u);
  for (const Diagnostic& diagnostic : lowered.diagnostics()) {
    ASSERT_FALSE(diagnostic.message.empty());
    if (diagnostic.line > 0) {
      ASSERT_GE(diagnostic.column, 1u);
      ASSERT_LE(diagnostic.column - 1 + diagnostic.length, diagnostic.snippet.size());
    }
    ASSERT_FALSE(render(diagnostic).empty());
  }
}

TEST(Mutation, EveryTextGetsAnAnswer) {
  covers("F04");
  const char* chosen = std::getenv("FLEXJIT_TEST_SEED");
  const std::uint64_t seed = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 20240611;
  std::vector<std::string> seeds = {
      "buffer t : f32[num_heads, ?]\nlet d = q - kv\nscore = score + t[h, d] * exp(-abs(d) / 16.0)\nmask = d >= 0 && d < 5",
      "def f(x, y) = where(x > y, x, y); let a = (let b = 1; b + h); f(score, a)",
      "param w : int = 3 * 4; const g : int = 2; mask = q // g == kv // g and not kv in {0, w}"};
  for (const NamedSource& named : diagnostic_sources()) {
    for (const auto& text : {named.source.file, named.source.score, named.source.mask}) {
      if (text && text->text.size() < 2000) seeds.push_back(text->text);
    }
  }
  Mutator mutator(seed, seeds);
  for (int i = 0; i < kTexts; ++i) {
    const std::string text = mutator.next();
    SCOPED_TRACE("seed " + std::to_string(seed) + ", text " + std::to_string(i) + ":\n" + text);
    switch (i % 3) {
      case 0: expect_an_answer(file(text)); break;
      case 1: expect_an_answer(score(text, {{"t", DType::kF32, 2}, {"g", DType::kBool, 1}}, {{"w", 3}})); break;
      default: expect_an_answer(mask(text, {{"t", DType::kI32, 1}}, {{"p", true}})); break;
    }
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace flexjit::dsl_test
