// `flexjit inspect`: every view shows its own language.
#include <gtest/gtest.h>

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

TEST(InspectCommand, UnknownTargetIsTheUsersFault) {
  const CommandResult result = inspect("asm", {"--target", "z80", "--json"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.json()["errors"][0]["kind"], "unsupported-target");
}

}  // namespace
}  // namespace flexjit::tests
