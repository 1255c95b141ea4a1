// `flexjit plan`: exact numbers of small cases, the balance of every mask among the examples, and wrong input.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "cli/subprocess.h"
#include "support/sample.h"

namespace flexjit::tests {
namespace {

CommandResult plan_of(std::vector<std::string> line) {
  line.insert(line.begin(), "plan");
  return run_flexjit(line);
}

TEST(PlanCommand, CausalNumbers) {
  const CommandResult result =
      plan_of({"-e", "mask = q_idx >= kv_idx", "--ranks", "2", "--q-len", "512", "--heads", "2", "--head-dim", "16", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  const auto json = result.json();
  EXPECT_EQ(json["dealing"], "zigzag");
  EXPECT_EQ(json["balance"], 1.0);
  // Blocks 0 and 3, 1 and 2: rank 0 needs both of rank 1, which needs block 0. 128 tokens of 2 heads of k and v, 16 floats
  // each.
  EXPECT_EQ(json["bytes_sent"], 3 * 128 * 2 * 2 * 16 * 4);
  EXPECT_EQ(json["ranks"][0]["blocks"], (std::vector<int>{0, 3}));
  EXPECT_EQ(json["ranks"][1]["blocks"], (std::vector<int>{1, 2}));
  for (const auto& rank : json["ranks"]) {
    EXPECT_EQ(rank["tokens"], 256);
    EXPECT_EQ(rank["work"], 5 * 128 * 128);
  }
  EXPECT_EQ(json["ranks"][1]["bytes_received"], 128 * 2 * 2 * 16 * 4);
}

TEST(PlanCommand, PictureOfRanks) {
  const CommandResult result =
      plan_of({"-e", "mask = q_idx >= kv_idx", "--ranks", "40", "--q-len", "1280", "--block", "8", "--dealing", "contiguous"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("contiguous to 40 ranks"), std::string::npos);
  EXPECT_NE(result.out.find("|# "), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("... 8 more ranks"), std::string::npos);
}

TEST(PlanCommand, RefusesWhatIsNoSequence) {
  EXPECT_EQ(plan_of({"-e", "mask = q_idx >= kv_idx", "--q-len", "64", "--kv-len", "32"}).exit_code, 2);
  EXPECT_EQ(plan_of({"-e", "mask = q_idx >= kv_idx", "--ranks", "0"}).exit_code, 2);
  EXPECT_EQ(plan_of({"-e", "mask = q_idx >= kv_idx", "--dealing", "fair"}).exit_code, 2);
  EXPECT_EQ(plan_of({"-e", "mask = q_idx >= nothing"}).exit_code, 2);
}

struct Scale {
  const char *ranks, *length, *block;
};

void expect_balanced(const std::string& file, const Scale& scale) {
  SCOPED_TRACE(file + " on " + scale.ranks);
  const CommandResult result =
      plan_of({file, "--ranks", scale.ranks, "--q-len", scale.length, "--block", scale.block, "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_GE(result.json()["balance"].get<double>(), 0.97);
}

// Every mask of the examples, which are those of the conformance list, with eight blocks a rank or more.
TEST(PlanCommand, BalancesEveryMask) {
  // Their buffers have an element a pair of blocks: at 1,024 ranks more than is made up, or minutes of evaluation.
  const std::vector<std::string> smaller{"bigbird", "longformer"};
  test::Sample sample;
  int tried = 0;
  for (const auto& entry : std::filesystem::directory_iterator(FLEXJIT_SOURCE_DIR "/dsl-examples")) {
    std::ifstream file(entry.path());
    std::stringstream text;
    text << file.rdbuf();
    if (!std::regex_search(text.str(), std::regex("(^|\n)mask"))) continue;
    if (!sample.next()) continue;
    ++tried;
    const bool is_smaller = std::ranges::find(smaller, entry.path().stem().string()) != smaller.end();
    expect_balanced(entry.path().string(), is_smaller ? Scale{"64", "8192", "8"} : Scale{"64", "16384", "16"});
    if (!is_smaller) expect_balanced(entry.path().string(), {"1024", "65536", "8"});
  }
  EXPECT_GE(tried, 10);
}

}  // namespace
}  // namespace flexjit::tests
