// `flexjit bench`: the rows and their fields, documents, peers that are there, absent or broken, and misuse. No test looks at a
// time.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "bench/case.h"
#include "bench/results.h"
#include "cli/subprocess.h"
#include "data/embedded.h"
#include "support/sample.h"

namespace flexjit::tests {
namespace {

using namespace tools;

CommandResult bench(std::vector<std::string> more) {
  std::vector<std::string> line = {"bench", "--quick"};
  line.insert(line.end(), more.begin(), more.end());
  return run_flexjit(line);
}

std::string text_of(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(BenchCommand, RowsHaveEveryField) {
  const CommandResult result = bench({"--suite", "causal,mods,decode", "--filter", "ALiBi/f32", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_EQ(result.err, "");
  const auto json = result.json();
  ASSERT_EQ(json["rows"].size(), 2U);
  for (const auto& row : json["rows"]) {
    for (const char* field : {"run_ms", "useful_gflops", "limit", "percent_of_limit", "compile_ms", "ratio_to_plain"})
      EXPECT_GT(row.at(field), 0) << field;
    EXPECT_EQ(row["suite"], "mods");
    EXPECT_EQ(row["dtype"], "f32");
    EXPECT_EQ(row["threads"], 1);
    EXPECT_EQ(row["limit_kind"], "fp32-fma");
    EXPECT_EQ(row["correct"], true);
    EXPECT_GT(row["extra_bytes"], 1000);  // at least the packed keys of a head
    EXPECT_TRUE(row["ratio_to"].empty());
    EXPECT_TRUE(row["speedup"].is_null());
    EXPECT_TRUE(row["gbps"].is_null());
    EXPECT_TRUE(row["errors"].empty());
  }
  EXPECT_EQ(json["rows"][0]["case"], "2k ALiBi");
  EXPECT_GT(json["machine"]["processors"], 0);
}

TEST(BenchCommand, BackwardPassesAreRowsLikeOthers) {
  const CommandResult result = bench({"--suite", "backward", "--filter", "relative bias", "--repeat", "1", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  const auto rows = result.json()["rows"];
  ASSERT_EQ(rows.size(), 2U);  // without and with the gradient of the table
  for (const auto& row : rows) {
    EXPECT_EQ(row["pass"], "backward");
    EXPECT_EQ(row["limit_kind"], "fp32-fma");
    EXPECT_EQ(row["correct"], true);
    for (const char* field : {"run_ms", "useful_gflops", "percent_of_limit", "compile_ms", "ratio_to_plain", "extra_bytes"})
      EXPECT_GT(row.at(field), 0) << field;
    const double operations = 10.0 * 4 * 128 * 128 * 64;
    EXPECT_NEAR(row["useful_gflops"].get<double>() * row["run_ms"].get<double>() * 1e6, operations, 1e-6 * operations);
  }
}

TEST(BenchCommand, DropoutAlternatesWithTheSameCallWithout) {
  const CommandResult result = bench({"--suite", "dropout", "--filter", "D=64 four keys", "--repeat", "1", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  const auto rows = result.json()["rows"];
  ASSERT_EQ(rows.size(), 2U);  // of both passes
  EXPECT_EQ(rows[0]["pass"], "forward");
  EXPECT_EQ(rows[1]["pass"], "backward");
  for (const auto& row : rows) {
    EXPECT_EQ(row["correct"], true);
    EXPECT_GT(row["ratio_to_plain"], 0);
  }
}

TEST(BenchCommand, BackwardPassesInBf16AreJudgedByTheArithmeticOfTheirKernel) {
  const CommandResult result = bench({"--suite", "backward", "--filter", "2k D=64/bf16", "--repeat", "1", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_EQ(result.json()["rows"].at(0)["limit_kind"], "fp32-fma");
}

TEST(BenchCommand, DecodeIsJudgedByReadingAndScalingByOneThread) {
  const CommandResult result = bench({"--suite", "scaling", "--filter", "decode", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  const auto row = result.json()["rows"].at(0);
  EXPECT_EQ(row["limit_kind"], "read-bandwidth");
  EXPECT_GT(row["gbps"], 0);
  EXPECT_GT(row["speedup"], 0);
  EXPECT_EQ(row["threads"], 2);
}

TEST(BenchCommand, EveryFp32CaseRunsCorrectly) {
  int checked = 0;
  std::vector<std::string> suites = bench::suite_names();
  if (test::is_sampled()) suites = {suites[test::sampled_place("EveryFp32CaseRunsCorrectly", suites.size())]};
  for (const std::string& suite : suites) {
    const CommandResult result = bench({"--suite", suite, "--filter", "/f32", "--repeat", "1", "--json"});
    const auto json = result.json();
    for (const auto& row : json["rows"]) {
      EXPECT_TRUE(row["limit"].is_null() || row["limit"] > 0) << row.dump(1);
      if (row["kv_dtype"] != "f32") continue;
      EXPECT_EQ(row["correct"], true) << row.dump(1);
      ++checked;
    }
  }
  EXPECT_GT(checked, test::is_sampled() ? 0 : 25);
}

TEST(BenchCommand, TableMarkdownAndPlot) {
  const TemporaryFolder folder;
  const CommandResult result =
      bench({"--suite", "dense", "--filter", "D=64/f32", "--markdown", folder.path("r.md"), "--svg", folder.path("plot.svg")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* word : {"suite", "2k D=64", "GFLOP/s", "fp32-fma"})
    EXPECT_NE(result.out.find(word), std::string::npos) << word << "\n" << result.out;
  const std::string markdown = text_of(folder.path("r.md")), svg = text_of(folder.path("plot.svg"));
  for (const char* word : {"## dense", "| 2k D=64 | f32 | 1 |", "](plot.svg)", "compile ms", "Machine:"})
    EXPECT_NE(markdown.find(word), std::string::npos) << word << "\n" << markdown;
  EXPECT_EQ(markdown.find("of plain |"), std::string::npos) << "a column that the suite does not fill";
  EXPECT_EQ(svg.find("<svg "), 0U);
  EXPECT_NE(svg.find("</svg>"), std::string::npos);
  EXPECT_EQ(result.out.find("peers"), std::string::npos);
}

TEST(BenchCommand, MisuseIsNamed) {
  const std::vector<std::vector<std::string>> lines = {{"--suite", "dens"}, {"--filter", "no such case"}, {"--repeat", "0"},
                                                       {"--threads", "0"},  {"--target", "z80"},          {"--bogus"}};
  for (auto line : lines) {
    line.push_back("--json");
    const CommandResult result = bench(line);
    EXPECT_EQ(result.exit_code, 2) << line[0] << result.out;
    EXPECT_FALSE(result.json()["errors"].empty()) << line[0];
  }
  const CommandResult unwritable = bench({"--suite", "dense", "--filter", "D=64/f32", "--svg", "/nonexistent/x.svg"});
  EXPECT_EQ(unwritable.exit_code, 1);
  EXPECT_NE(unwritable.err.find("/nonexistent/x.svg"), std::string::npos) << unwritable.err;
}

TEST(BenchPeers, AbsentPythonIsOneLineAndNoFailure) {
  const CommandResult result =
      bench({"--suite", "dense", "--filter", "D=64/f32", "--peers", "--python", "/nonexistent/python", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_EQ(result.err.find("peers: all of them are skipped: /nonexistent/python: "), 0U) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
  EXPECT_EQ(result.json()["skipped"].size(), 1U);
  EXPECT_TRUE(result.json()["rows"][0]["ratio_to"].empty());
}

// A stand-in for Python: a shell script that answers like bench/peers/serve.py, or badly. $1 is the real serve.py and is not
// used.
CommandResult bench_with_peer(const std::string& answers) {
  const TemporaryFolder folder;
  const std::string python = folder.write("python", "#!/bin/sh\n" + answers);
  std::filesystem::permissions(python, std::filesystem::perms::owner_all);
  return bench({"--suite", "dense", "--filter", "D=64/f32", "--peers", "--python", python, "--json"});
}

const std::string kHello =
    R"(read line; echo '{"versions": {"openvino": "stand-in 1"}, "skipped": {"pytorch-sdpa": "ImportError: no torch"}}'
)";

TEST(BenchPeers, RatiosComeFromThePeersTimes) {
  const CommandResult result =
      bench_with_peer(kHello + R"(read line; echo '{"ms": 1000000.0, "difference": 1e-6}'; read line)");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "peers: pytorch-sdpa skipped: ImportError: no torch\n");
  const auto row = result.json()["rows"][0];
  EXPECT_NEAR(row["ratio_to"]["openvino"].get<double>(), 1e6 / row["run_ms"].get<double>(),
              1e-3 * 1e6 / row["run_ms"].get<double>());
  EXPECT_EQ(row["peers"]["openvino"]["run_ms"], 1e6);
}

TEST(BenchPeers, AnotherResultGetsNoRatio) {
  const CommandResult result = bench_with_peer(kHello + R"(read line; echo '{"ms": 1.0, "difference": 0.5}'; read line)");
  EXPECT_EQ(result.exit_code, 0);
  const auto row = result.json()["rows"][0];
  EXPECT_TRUE(row["ratio_to"].empty());
  EXPECT_NE(row["peer_notes"]["openvino"].get<std::string>().find("differs from ours"), std::string::npos);
}

TEST(BenchPeers, DyingPeersDoNotTakeTheRunWithThem) {
  for (const std::string& answers :
       {std::string("exit 0"), kHello + "echo boom >&2; exit 1", kHello + "read line; echo nonsense; read line"}) {
    const CommandResult result = bench_with_peer(answers);
    EXPECT_EQ(result.exit_code, 0) << answers << result.err;
    EXPECT_TRUE(result.json()["rows"][0]["ratio_to"].empty()) << answers;
    EXPECT_EQ(result.json()["rows"][0]["correct"], true) << answers;
  }
}

TEST(BenchCases, CoverEverySuiteWithDistinctNames) {
  std::set<std::string> names, suites;
  for (const bench::Case& test : bench::select_cases({})) {
    EXPECT_TRUE(names.insert(test.suite + "/" + test.name + "/" + bench::dtype_text(test)).second) << test.name;
    EXPECT_FALSE(test.program.empty()) << test.name;
    suites.insert(test.suite);
  }
  const auto expected = bench::suite_names();
  EXPECT_EQ(suites, std::set<std::string>(expected.begin(), expected.end()));
}

// The peers know a pattern by its name; a name that they do not know would silently have no peer.
TEST(BenchCases, PeersKnowEveryPattern) {
  std::string patterns;
  for (const EmbeddedFile& file : embedded_peers())
    if (file.name == "patterns.py") patterns = file.text;
  for (const bench::Case& test : bench::select_cases({})) {
    if (!test.lengths.empty() || test.linear || test.windows)
      continue;  // peers are asked for a softmax of batches of one length alone
    EXPECT_NE(patterns.find("\"" + test.pattern + "\": "), std::string::npos) << test.pattern;
  }
}

// By hand: the same work in half of the time is twice the percent.
TEST(BenchRow, FiguresFollowFromTimes) {
  bench::Row row;
  row.work.operations = 192e6;
  row.run_ms = 2;
  row.limit.peak = Peak::kFmaF32;
  row.limit.gflops = 192;
  EXPECT_DOUBLE_EQ(row.useful_gflops(), 96);
  EXPECT_DOUBLE_EQ(row.percent_of_limit(), 50);
  EXPECT_DOUBLE_EQ(row.percent_at(1), 100);
  EXPECT_DOUBLE_EQ(bench::ratio_to(row, {.peer = "x", .ms = 3, .difference = 0}), 1.5);
  row.work.read_bytes = 20e6;
  row.limit.read_gbps = 40;
  EXPECT_DOUBLE_EQ(row.rate(), 10);
  EXPECT_DOUBLE_EQ(row.percent_of_limit(), 25);
  EXPECT_EQ(row.limit.kind(), "read-bandwidth");
}

}  // namespace
}  // namespace flexjit::tests
