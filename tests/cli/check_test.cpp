// `flexjit check` and what all commands share: usage errors, exit codes, diagnostics as text and as JSON.
#include <gtest/gtest.h>

#include "cli/subprocess.h"

namespace flexjit::tests {
namespace {

TEST(CheckCommand, AcceptsAGoodFile) {
  const CommandResult result = run_flexjit({"check", FLEXJIT_SOURCE_DIR "/dsl-examples/alibi_sliding_window.flex"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("alibi_sliding_window.flex: ok"), std::string::npos);
  EXPECT_EQ(result.err, "");
}

TEST(CheckCommand, ShowsACaretAndAHint) {
  const TemporaryFolder folder;
  const std::string path = folder.write("bad.flex", "# one mistake\nscore = score + kv_ix * 2\n");
  const CommandResult result = run_flexjit({"check", path});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, path +
                            ":2:17: error: unknown name `kv_ix`; did you mean `kv_idx`?\n"
                            "  score = score + kv_ix * 2\n"
                            "                  ^~~~~\n");
}

TEST(CheckCommand, ReportsEveryMistakeAsJson) {
  const CommandResult result = run_flexjit({"check", "-e", "score = score + nope", "-e", "mask = q_idx + 1", "--json"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err, "");
  const auto errors = result.json()["errors"];
  ASSERT_EQ(errors.size(), 2U);
  EXPECT_EQ(errors[0]["kind"], "unknown-name");
  EXPECT_EQ(errors[0]["line"], 1);
  EXPECT_EQ(errors[0]["column"], 17);
  EXPECT_EQ(errors[0]["source"], "-e");
  EXPECT_EQ(errors[0]["snippet"], "score = score + nope");
  EXPECT_EQ(errors[1]["line"], 2);
  for (const auto& error : errors) EXPECT_FALSE(error["message"].get<std::string>().empty());
}

TEST(CheckCommand, JsonOfAGoodPatternHasNoErrors) {
  const CommandResult result = run_flexjit({"check", "-e", "mask = q_idx >= kv_idx", "--json"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_TRUE(result.json()["errors"].empty());
}

TEST(CheckCommand, AnEmptyFileHasNoResult) {
  const TemporaryFolder folder;
  for (const char* text : {"", "\n", "# nothing\n", "let a = 1\n"}) {
    const std::string path = folder.write("empty.flex", text);
    for (const char* command : {"check", "run", "mask"}) {
      const CommandResult result = run_flexjit({command, path});
      EXPECT_EQ(result.exit_code, 2) << command;
      EXPECT_NE(result.err.find("sets neither `score` nor `mask`"), std::string::npos) << result.err;
    }
  }
}

TEST(CheckCommand, WarningsAreShownByEveryCommand) {
  const TemporaryFolder folder;
  const std::string path = folder.write("meant.flex", "let mask_mod = q_idx >= kv_idx\nscore = score * 2\n");
  const std::string expected = path +
                               ":1:5: warning: `mask_mod` is defined, but nothing that is computed reads it; a mask is set by "
                               "`mask = ...`\n"
                               "  let mask_mod = q_idx >= kv_idx\n"
                               "      ^~~~~~~~\n";
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"check"}, {"run", "--q-len", "16", "--heads", "1", "--repeat", "1"}, {"mask", "--q-len", "16"}, {"inspect"}}) {
    std::vector<std::string> arguments = words;
    arguments.push_back(path);
    const CommandResult result = run_flexjit(arguments);
    EXPECT_EQ(result.exit_code, 0) << words[0];
    EXPECT_NE(result.err.find(expected), std::string::npos) << words[0] << ": " << result.err;
  }
  const CommandResult json = run_flexjit({"check", path, "--json"});
  ASSERT_EQ(json.json()["warnings"].size(), 1U);
  EXPECT_EQ(json.json()["warnings"][0]["kind"], "unused-name");
  EXPECT_EQ(json.json()["warnings"][0]["severity"], "warning");
  EXPECT_TRUE(json.json()["errors"].empty());
}

TEST(CheckCommand, MaskModAsAStatementLeadsToMask) {
  const CommandResult result = run_flexjit({"check", "-e", "mask_mod = q_idx >= kv_idx"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("a mask is set by `mask = ...`"), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("let mask_mod"), std::string::npos) << result.err;
}

TEST(Command, UnreadableFilesAreTheUsersFault) {
  for (const char* command : {"check", "run", "inspect"}) {
    const CommandResult result = run_flexjit({command, "/nonexistent/x.flex"});
    EXPECT_EQ(result.exit_code, 2) << command;
    EXPECT_EQ(result.err, "/nonexistent/x.flex: error: cannot be opened: No such file or directory\n");
  }
  const CommandResult endless = run_flexjit({"check", "/dev/zero"});
  EXPECT_EQ(endless.exit_code, 2);
  EXPECT_NE(endless.err.find("larger than 1 MiB"), std::string::npos);
  const CommandResult folder = run_flexjit({"check", "/"});
  EXPECT_EQ(folder.exit_code, 2);
}

TEST(Command, BinaryTextIsRefusedAndStaysJson) {
  const TemporaryFolder folder;
  const std::string path = folder.write("bad.flex", std::string("mask = \xff\xfe\0 q_idx", 16));
  const CommandResult result = run_flexjit({"check", path, "--json"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_FALSE(result.json()["errors"].empty());
}

TEST(Command, UsageErrors) {
  const std::vector<std::vector<std::string>> lines = {{},
                                                       {"fly"},
                                                       {"run"},
                                                       {"run", "a.flex", "-e", "mask = true"},
                                                       {"run", "-e", "mask = true", "--heads", "none"},
                                                       {"run", "-e", "mask = true", "--head-dim", "1025"},
                                                       {"run", "-e", "mask = true", "--q-len", "-1"},
                                                       {"run", "-e", "mask = true", "--layout", "sbhd"},
                                                       {"run", "-e", "mask = true", "--no-such-option"},
                                                       {"inspect", "-e", "mask = true", "--view", "tea-leaves"}};
  for (auto line : lines) {
    const CommandResult text = run_flexjit(line);
    EXPECT_EQ(text.exit_code, 2) << testing::PrintToString(line);
    EXPECT_FALSE(text.err.empty());
    line.push_back("--json");
    const CommandResult json = run_flexjit(line);
    EXPECT_EQ(json.exit_code, 2) << testing::PrintToString(line);
    EXPECT_EQ(json.json()["errors"][0]["kind"], "usage") << testing::PrintToString(line);
  }
}

TEST(Command, HelpAndVersion) {
  for (const std::vector<std::string>& line : std::vector<std::vector<std::string>>{
           {"--help"}, {"run", "--help"}, {"inspect", "--help"}, {"check", "--help"}, {"--version"}}) {
    const CommandResult result = run_flexjit(line);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.err, "");
    EXPECT_NE(result.out.find("flexjit"), std::string::npos);
  }
  const std::string help = run_flexjit({"run", "--help"}).out;
  for (const char* option :
       {"--batch", "--kv-heads", "--v-head-dim", "--scale", "--seed", "--threads", "--target", "--repeat", "--param",
        "--buffer", "--lse", "--layout", "--reference", "--verify-rows", "--json", "Exit codes"})
    EXPECT_NE(help.find(option), std::string::npos) << option;
}

}  // namespace
}  // namespace flexjit::tests
