// A unified diff is right when it turns one text into the other: applied here by hand, for texts of few different lines, which
// have the most ways to be told apart.
#include "commands/diff.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

namespace flexjit::tools {
namespace {

std::string text_of(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

// `before` with the hunks applied; each hunk's begin and context are checked on the way.
std::vector<std::string> patched(const std::vector<std::string>& before, const std::vector<std::string>& diff) {
  std::vector<std::string> after;
  std::size_t at = 0;
  for (const std::string& line : diff) {
    if (line.starts_with("@@ -")) {
      const std::size_t comma = line.find(',');
      const auto first = std::strtoul(line.c_str() + 4, nullptr, 10),
                 count = std::strtoul(line.c_str() + comma + 1, nullptr, 10);
      const std::size_t begin = count > 0 ? first - 1 : first;
      EXPECT_GE(begin, at) << line;
      while (at < begin) after.push_back(before.at(at++));
      continue;
    }
    if (line[0] != '+') {
      EXPECT_EQ(before.at(at++), line.substr(1));
    }
    if (line[0] != '-') after.push_back(line.substr(1));
  }
  while (at < before.size()) after.push_back(before[at++]);
  return after;
}

TEST(UnifiedDiff, TurnsOneTextIntoTheOther) {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> a(random() % 30), b;
    for (std::string& line : a) line = std::string(1, static_cast<char>('a' + random() % 3));
    for (const std::string& line : a) {
      if (random() % 6 != 0) b.push_back(line);
      if (random() % 6 == 0) b.emplace_back(1, static_cast<char>('a' + random() % 4));
    }
    const auto diff = unified_diff(text_of(a), text_of(b));
    ASSERT_EQ(patched(a, diff), b) << text_of(a) << "and\n" << text_of(b) << "by\n" << text_of(diff);
    ASSERT_EQ(diff.empty(), a == b);
  }
}

TEST(UnifiedDiff, LooksAsPeopleKnowIt) {
  EXPECT_EQ(unified_diff("1\n2\n3\n4\n5\n6\n7\n8\n", "1\n2\n3\n4\nfive\n6\n7\n8\n"),
            (std::vector<std::string>{"@@ -2,7 +2,7 @@", " 2", " 3", " 4", "-5", "+five", " 6", " 7", " 8"}));
  EXPECT_EQ(unified_diff("", "a\n"), (std::vector<std::string>{"@@ -0,0 +1,1 @@", "+a"}));
  EXPECT_TRUE(unified_diff("a\nb\n", "a\nb\n").empty());
}

TEST(UnifiedDiff, FarChangesAreHunksOfTheirOwn) {
  std::vector<std::string> a(40, "same"), b = a;
  b[5] = "x", b[30] = "y";
  const auto diff = unified_diff(text_of(a), text_of(b));
  EXPECT_EQ(std::ranges::count_if(diff, [](const std::string& line) { return line.starts_with("@@"); }), 2);
  EXPECT_EQ(patched(a, diff), b);
}

TEST(UnifiedDiff, LongTextsWithNothingInCommonAreReplaced) {
  std::vector<std::string> a, b;
  for (int i = 0; i < 20'000; ++i) a.push_back("a" + std::to_string(i)), b.push_back("b" + std::to_string(i));
  EXPECT_EQ(patched(a, unified_diff(text_of(a), text_of(b))), b);
}

}  // namespace
}  // namespace flexjit::tools
