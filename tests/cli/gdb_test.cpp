// gdb on a running kernel: breakpoints in the pattern's functions, lines of the text, frames above.
#include <gtest/gtest.h>

#include "cli/subprocess.h"

namespace flexjit::tests {
namespace {

// What gdb prints of `flexjit run` with `arguments` when it stops as `commands` say.
std::string debug(const std::vector<std::string>& commands, const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {"gdb", "-q", "-nx", "-batch"};
  const auto add = [&](const std::string& command) { words.insert(words.end(), {"-ex", command}); };
  add("set breakpoint pending on");
  add("set debuginfod enabled off");
  add("set environment FLEXJIT_GDB=1");
  add("set environment ASAN_OPTIONS=detect_leaks=0");  // which cannot be looked for under a debugger
  for (const std::string& command : commands) add(command);
  add("kill");
  words.insert(words.end(), {"--args", FLEXJIT_COMMAND, "run", "--q-len", "100", "--heads", "2", "--threads", "1"});
  words.insert(words.end(), arguments.begin(), arguments.end());
  const CommandResult result = run_program(words);
  return result.out + result.err;
}

void expect_text(const std::string& all, const std::string& text) {
  EXPECT_NE(all.find(text), std::string::npos) << "no \"" << text << "\" in\n" << all;
}

TEST(Gdb, BreaksInScoreModAndShowsTheLineOfTheFile) {
  const TemporaryFolder folder;
  const std::string file =
      folder.write("alibi.flex", "buffer slope : f32[num_heads]\n\nscore = score - slope[h] * (q_idx - kv_idx)\n");
  const std::string text = debug({"break score_mod", "run", "backtrace", "info source"}, {file});
  expect_text(text, "score_mod () at " + std::string("alibi.flex:3"));
  expect_text(text, "score = score - slope[h] * (q_idx - kv_idx)");
  expect_text(text, "in attend ()");
  expect_text(text, "flexjit::runtime::launch");
  expect_text(text, "Located in " + file);
}

TEST(Gdb, BreaksAtALineAndInMaskModOfTextInNoFile) {
  const std::vector<std::string> pattern = {"-e", "score = tanh(score)", "-e", "mask = kv_idx <= q_idx && kv_idx > 3"};
  expect_text(debug({"break mask_mod", "run", "list"}, pattern), "mask = kv_idx <= q_idx && kv_idx > 3");
  expect_text(debug({"break pattern1.flex:1", "run"}, pattern), "score = tanh(score)");
}

TEST(Gdb, SeesNothingUnlessAsked) {
  const std::string text = debug({"unset environment FLEXJIT_GDB", "break score_mod", "run"}, {"-e", "score = tanh(score)"});
  EXPECT_EQ(text.find("score_mod () at"), std::string::npos) << text;
  expect_text(text, "exited normally");
}

}  // namespace
}  // namespace flexjit::tests
