// `flexjit inspect`: every view shows its own language.
#include <gtest/gtest.h>

#include <sstream>

#include "cli/subprocess.h"

namespace flexjit::tests {
namespace {

CommandResult inspect(const std::string& view, std::vector<std::string> more = {}) {
  std::vector<std::string> line = {"inspect", "-e", "param w : int = 8", "-e", "mask = q_idx >= kv_idx && q_idx - kv_idx < w",
                                   "--view",  view};
  line.insert(line.end(), more.begin(), more.end());
  return run_flexjit(line);
}

TEST(InspectCommand, EveryViewHasItsWords) {
  const std::pair<const char*, const char*> views[] = {{"ast", "q_idx"},       {"ir", "= sub"},     {"simplified", "kv_idx"},
                                                       {"intervals", " in ["}, {"llvm", "define "}, {"asm", "ret"}};
  for (const auto& [view, word] : views) {
    const CommandResult result = inspect(view);
    EXPECT_EQ(result.exit_code, 0) << view << result.err;
    EXPECT_NE(result.out.find(word), std::string::npos) << view << ":\n" << result.out.substr(0, 2000);
    EXPECT_EQ(result.err, "");
  }
}

TEST(InspectCommand, JsonHoldsTheNodes) {
  const CommandResult result = inspect("ir,tokens", {"--json"});
  EXPECT_EQ(result.exit_code, 0);
  const nlohmann::json json = result.json();
  EXPECT_EQ(json["pattern"], "-e");
  ASSERT_EQ(json["views"].size(), 2U);
  const nlohmann::json ir = json["views"]["ir"];
  EXPECT_EQ(ir["params"][0]["name"], "w");
  EXPECT_EQ(ir["nodes"][ir["mask"].get<std::size_t>()]["op"], "and");
  EXPECT_EQ(json["views"]["tokens"]["texts"][0]["tokens"][0]["text"], "param");
}

TEST(InspectCommand, GradientHoldsWhatIsAddedToBuffers) {
  const CommandResult result =
      run_flexjit({"inspect", "-e", "buffer t : f32[kv_len]", "-e", "buffer n : i32[kv_len]", "-e",
                   "score = q_idx > n[kv_idx] ? score * t[kv_idx] : score", "--view", "gradient", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json gradient = result.json()["views"]["gradient"];
  EXPECT_EQ(gradient["by"], nlohmann::json({"t"}));
  ASSERT_EQ(gradient["accumulations"].size(), 1U);
  const auto node = [&](const nlohmann::json& id) { return gradient["nodes"][id.get<std::size_t>()]; };
  const nlohmann::json added = node(gradient["accumulations"][0]);
  EXPECT_EQ(added["op"], "accumulate");
  EXPECT_EQ(added["buffers"][0], "t");
  EXPECT_EQ(added["checked"], false);
  EXPECT_EQ(node(added["guard"])["op"], "lt");
  EXPECT_EQ(node(added["added"])["op"], "mul");
  EXPECT_EQ(node(added["indices"][0])["op"], "kv_idx");
  EXPECT_EQ(node(gradient["score_grad"])["op"], "select");
}

TEST(InspectCommand, SourceHasALetterBelowEachPart) {
  const std::vector<std::string> line = {"inspect",
                                         "-e",
                                         "buffer slope : f32[num_heads]",
                                         "-e",
                                         "let d = q_idx - kv_idx",
                                         "-e",
                                         "score = score - slope[h] * d * (2 - 1)",
                                         "-e",
                                         "mask = kv_idx % 7 != q_idx // 3",
                                         "--view",
                                         "source"};
  const CommandResult result = run_flexjit(line);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* part : {"let d = q_idx - kv_idx\n        R----D--C-----\n",
                           "score = score - slope[h] * d * (2 - 1)\n        E-------U-------D-------F----D\n",
                           "mask = kv_idx % 7 != q_idx // 3\n       C--------FE---R--------F\n"})
    EXPECT_NE(result.out.find(part), std::string::npos) << part << "\n" << result.out;
  auto json_line = line;
  json_line.emplace_back("--json");
  const nlohmann::json source = run_flexjit(json_line).json()["views"]["source"];
  for (const nlohmann::json& expression : source["expressions"])
    if (expression["text"] == "slope[h] * d") {
      EXPECT_EQ(expression["level"], "diagonal");
    }
}

TEST(InspectCommand, SeveralViewsHaveHeadings) {
  const CommandResult result = inspect("ast,ir");
  EXPECT_LT(result.out.find("==== ast\n"), result.out.find("==== ir\n"));
  EXPECT_EQ(inspect("ir").out.find("===="), std::string::npos);
}

TEST(InspectCommand, UnknownViewNamesThoseThatExist) {
  const CommandResult result = inspect("irr", {"--json"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.json()["errors"][0]["message"].get<std::string>().find("simplified"), std::string::npos);
}

TEST(InspectCommand, TargetChangesTheCode) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "this machine has no AVX2";
  EXPECT_EQ(inspect("asm", {"--target", "x86-64"}).out.find("ymm"), std::string::npos);
  EXPECT_NE(inspect("asm", {"--target", "x86-64-v3"}).out.find("ymm"), std::string::npos);
}

// Keys that the mask leaves out are not read.
TEST(InspectCommand, ADecodingCallIsShownAndRun) {
  const std::vector<std::string> line = {
      "inspect",    "-e", "mask = kv_idx < 512", "--q-len", "1",      "--kv-len",      "4096",  "--heads", "8",
      "--kv-heads", "2",  "--head-dim",          "64",      "--view", "plan,roofline", "--json"};
  const CommandResult result = run_flexjit(line);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json views = result.json()["views"];
  EXPECT_EQ(views["plan"]["nest"], "decode");
  const nlohmann::json& roofline = views["roofline"];
  EXPECT_EQ(roofline["allowed_scores"], 8 * 512);
  EXPECT_EQ(roofline["scores_visited"], 8 * 512);
  EXPECT_EQ(roofline["bytes"], 4 * (2 * 8 * 64 + 8 + 2 * 2 * 512 * 64));  // q and out, lse, k and v
  EXPECT_GT(roofline["parts"]["Q K"]["multiply_adds"], 8 * 512 * 64 - 1);
  EXPECT_GT(roofline["measured_ms"], 0);
}

TEST(InspectCommand, TheRooflineOfABackwardPassCountsItsProductsAndGradients) {
  const CommandResult result = run_flexjit({"inspect",
                                            "-e",
                                            "buffer bias : f32[num_heads, q_len, kv_len]",
                                            "-e",
                                            "score = score + bias[h, q_idx, kv_idx]",
                                            "--heads",
                                            "2",
                                            "--q-len",
                                            "96",
                                            "--kv-len",
                                            "128",
                                            "--head-dim",
                                            "32",
                                            "--v-head-dim",
                                            "64",
                                            "--kernel",
                                            "backward",
                                            "--view",
                                            "roofline",
                                            "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json roofline = result.json()["views"]["roofline"];
  const double pairs = 2 * 96 * 128;
  EXPECT_EQ(roofline["flops"], 2 * pairs * (3 * 32 + 2 * 64));
  // Each tensor and its gradient, the log-sum-exp once.
  EXPECT_EQ(roofline["bytes"], 4 * 2 * (2 * (96 * 32 + 128 * 32 + 128 * 64 + 96 * 64 + 96 * 128) + 96));
  EXPECT_EQ(roofline["scores_visited"], pairs);
  EXPECT_GT(roofline["measured_ms"], 0);
  double multiply_adds = 0;
  for (const char* part : {"Q K", "dK dV", "dQ"}) multiply_adds += roofline["parts"][part]["multiply_adds"].get<double>();
  EXPECT_GE(multiply_adds, pairs * (3 * 32 + 2 * 64));
  EXPECT_LE(multiply_adds, 1.1 * pairs * (3 * 32 + 2 * 64));
}

TEST(InspectCommand, AKernelThatTheCallDoesNotTakeIsRefused) {
  EXPECT_NE(inspect("plan", {"--kernel", "decode"}).out.find("decode;"), std::string::npos);
  const CommandResult result = inspect("roofline", {"--kernel", "decode", "--json"});
  EXPECT_EQ(result.exit_code, 2) << result.out;
  EXPECT_EQ(result.json()["errors"][0]["kind"], "inspect-kernel");
  EXPECT_EQ(inspect("plan", {"--kernel", "soul"}).exit_code, 2);
}

TEST(InspectCommand, UnknownTargetIsTheUsersFault) {
  const CommandResult result = inspect("asm", {"--target", "z80", "--json"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.json()["errors"][0]["kind"], "unsupported-target");
}

TEST(InspectCommand, DiffShowsWhereTwoPatternsPart) {
  const TemporaryFolder folder;
  const std::string a = folder.write("a.flex", "mask = q_idx >= kv_idx\n"),
                    b = folder.write("b.flex", "mask = q_idx > kv_idx\n");
  const CommandResult result = run_flexjit({"inspect", a, "--diff", b, "--view=simplified,access"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("==== access: equal\n"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("\n-%2 = le %0, %1 : bool\n+%2 = lt %0, %1 : bool\n"), std::string::npos) << result.out;
  const nlohmann::json views = run_flexjit({"inspect", a, "--diff", b, "--view=simplified,access", "--json"}).json()["views"];
  EXPECT_EQ(views["access"]["equal"], true);
  EXPECT_EQ(views["simplified"]["equal"], false);
  EXPECT_EQ(views["simplified"]["a"]["nodes"][2]["op"], "le");
  EXPECT_EQ(views["simplified"]["b"]["nodes"][2]["op"], "lt");
}

TEST(InspectCommand, DiffOfTargetsNamesBoth) {
  const CommandResult result = inspect("simplified,plan", {"--target=x86-64-v2", "--diff-target=aarch64", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json json = result.json();
  EXPECT_EQ(json["a"]["target"], "x86-64-v2");
  EXPECT_EQ(json["b"]["target"], "aarch64");
  EXPECT_EQ(json["views"]["simplified"]["equal"], true);
  EXPECT_EQ(json["views"]["plan"]["a"]["registers"]["available"], 16);
  EXPECT_EQ(json["views"]["plan"]["b"]["registers"]["available"], 32);
}

TEST(InspectCommand, MistakesOfEitherSideAreShownWithACaret) {
  const TemporaryFolder folder;
  const std::string good = folder.write("good.flex", "mask = q_idx >= kv_idx\n"),
                    bad = folder.write("bad.flex", "mask = q_idx >= kv_idy\n");
  for (const auto& line :
       {std::vector<std::string>{"inspect", bad}, {"inspect", good, "--diff", bad}, {"inspect", bad, "--diff", good}}) {
    const CommandResult result = run_flexjit(line);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_NE(result.err.find("bad.flex:1:17: error"), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("^~~~~~"), std::string::npos) << result.err;
  }
}

TEST(InspectCommand, AsmNamesJumpTargetsAndHasIntelSyntax) {
  const std::vector<std::string> line = {"inspect", "-e", "mask = q_idx >= kv_idx", "--view=asm", "--target", "x86-64-v3"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), line.begin(), line.end());
    return run_flexjit(more);
  };
  const CommandResult att = with({}), intel = with({"--asm-syntax", "intel"});
  ASSERT_EQ(att.exit_code, 0) << att.err;
  ASSERT_EQ(intel.exit_code, 0) << intel.err;
  EXPECT_NE(att.out.find("%ymm"), std::string::npos);
  EXPECT_EQ(intel.out.find("%ymm"), std::string::npos);
  EXPECT_NE(intel.out.find("ymmword ptr ["), std::string::npos);
  std::istringstream lines(att.out);
  bool named = false;
  for (std::string text; std::getline(lines, text);) named = named || text.ends_with("  -> qk");
  EXPECT_TRUE(named);
  for (const char* nest : {"128", "1"}) {
    const CommandResult shown =
        run_flexjit({"inspect", "-e", "buffer s : f32[num_heads]; score = score - s[h] * (q_idx - kv_idx)", "-e",
                     "mask = q_idx >= kv_idx", "--view=nest", "--q-len", nest, "--kv-len", "1000"});
    ASSERT_EQ(shown.exit_code, 0) << shown.err;
    EXPECT_NE(shown.out.find("parallel for b, "), std::string::npos) << shown.out;
    EXPECT_NE(shown.out.find("if not (kv_idx <= q_idx): score = -inf"), std::string::npos) << shown.out;
    EXPECT_NE(shown.out.find("= s[h]"), std::string::npos) << shown.out;
  }
}

}  // namespace
}  // namespace flexjit::tests
