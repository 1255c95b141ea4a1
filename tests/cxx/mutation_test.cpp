// Texts that are broken at random: whatever comes, findings or a program, and never a crash or a hang. FLEXJIT_CXX_MUTATIONS
// says how many (200).
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "mods.h"

namespace flexjit::cxx_test {
namespace {

std::vector<std::string> seeds() {
  std::vector<std::string> texts;
  for (const char* folder : {FLEXJIT_CXX_TESTS "/diagnostics", FLEXJIT_SOURCE_DIR "/examples/cxx"}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() == ".expected") continue;
      std::ifstream in(entry.path());
      std::ostringstream text;
      text << in.rdbuf();
      texts.push_back(text.str());
    }
  }
  return texts;
}

std::string mutated(const std::vector<std::string>& texts, std::mt19937_64& random) {
  std::string text = texts[random() % texts.size()];
  const std::string& other = texts[random() % texts.size()];
  for (std::uint64_t times = 1 + random() % 3; times > 0; --times) {
    const std::size_t at = random() % (text.size() + 1), length = random() % 12;
    switch (random() % 4) {
      case 0: text.erase(at, length); break;
      case 1: text.insert(at, other.substr(random() % other.size(), length)); break;
      case 2: text.insert(at, text.substr(at, length)); break;
      default:
        if (at < text.size()) text[at] = static_cast<char>(random());
        break;
    }
  }
  return text;
}

TEST(CxxMutations, NeverCrashOrHang) {
  const char* given = std::getenv("FLEXJIT_CXX_MUTATIONS");
  const long count = given != nullptr ? std::strtol(given, nullptr, 10) : 200;
  const std::vector<std::string> texts = seeds();
  ASSERT_GE(texts.size(), 30U);
  std::mt19937_64 random(7);
  for (long i = 0; i < count; ++i) {
    const std::string text = mutated(texts, random);
    const auto begin = std::chrono::steady_clock::now();
    for (const Diagnostic& diagnostic : check(cxx_spec(text))) {
      EXPECT_FALSE(render(diagnostic).empty());
      EXPECT_LE(diagnostic.column - 1 + diagnostic.length, diagnostic.snippet.size() + 1) << text;
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20)) << text;
  }
}

TEST(CxxExamples, Compile) {
  for (const auto& entry : std::filesystem::directory_iterator(FLEXJIT_SOURCE_DIR "/examples/cxx")) {
    std::ifstream in(entry.path());
    std::ostringstream text;
    text << in.rdbuf();
    EXPECT_EQ(render(check(cxx_spec(text.str()))), "") << entry.path();
  }
}

}  // namespace
}  // namespace flexjit::cxx_test
