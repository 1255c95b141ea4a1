// `flexjit repl`: through a pipe, as a script drives it, and through a pseudo-terminal, as a person does.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "cli/subprocess.h"

namespace flexjit::tests {
namespace {

using Json = nlohmann::json;

// The output of lines that come from a pipe; sizes are small.
CommandResult type(const std::string& lines, std::vector<std::string> more = {}) {
  std::vector<std::string> line = {"repl", "--q-len", "96", "--heads", "2", "--head-dim", "16"};
  line.insert(line.end(), more.begin(), more.end());
  return run_flexjit(line, lines);
}

// The replies to the lines, one each.
std::vector<Json> replies(const std::string& lines) {
  std::istringstream out(type(lines, {"--json"}).out);
  std::vector<Json> found;
  for (std::string line; std::getline(out, line);) found.push_back(Json::parse(line));
  return found;
}

std::string program_after(const std::string& lines) {
  const std::string shown = replies(lines + ":show\n").back()["text"];
  return shown.substr(0, shown.find("# batch"));
}

TEST(ReplCommand, AnExpressionIsAScoreOrAMask) {
  EXPECT_EQ(program_after("q_idx >= kv_idx\n"), "mask = q_idx >= kv_idx\n");
  EXPECT_EQ(program_after("score * 2\n"), "score = score * 2\n");
  EXPECT_EQ(program_after("kv_idx - q_idx\n"), "score = kv_idx - q_idx\n");
  EXPECT_EQ(program_after("let d = q_idx - kv_idx; d >= 0\n"), "let d = q_idx - kv_idx\nmask = d >= 0\n");
}

TEST(ReplCommand, NamesTakeThePlaceOfOldOnes) {
  EXPECT_EQ(program_after("mask = q_idx > kv_idx\nlet d = q_idx\nscore = score + d\nmask = d > 3\nlet d = kv_idx\n"),
            "let d = kv_idx\nscore = score + d\nmask = d > 3\n");
  EXPECT_EQ(program_after("let a = 1\nlet c = 2\nlet a = c + 1\n"), "let c = 2\nlet a = c + 1\n");
  EXPECT_EQ(program_after("param w : int = 3\nconst w : int = 4\n"), "const w : int = 4\n");
}

TEST(ReplCommand, ShowsAPictureAndASpeed) {
  const Json reply = replies("q_idx >= kv_idx\n").at(0);
  EXPECT_TRUE(reply["errors"].empty());
  EXPECT_GT(reply["speed"]["run_ms"], 0);
  EXPECT_GT(reply["speed"]["compile_ms"], 0);
  EXPECT_GT(reply["speed"]["percent_of_peak"], 0);
  const std::string text = reply["text"];
  EXPECT_NE(text.find("276 full (#), 24 partial (+) and 276 empty blocks of 4 x 4 pairs"), std::string::npos) << text;
  EXPECT_NE(text.find("\n  |+                       |\n  |#+ "), std::string::npos) << text;
  EXPECT_NE(text.find("of the peak; compiled in"), std::string::npos) << text;
}

TEST(ReplCommand, MistakesHaveCaretsAndChangeNothing) {
  const CommandResult result = type("score + kv_ix\n");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out,
            "session:1:17: error: unknown name `kv_ix`; did you mean `kv_idx`?\n"
            "  score = score + kv_ix\n"
            "                  ^~~~~\n");
  EXPECT_EQ(program_after("mask = q_idx > 3\nmask = q_idx +\nlet\n"), "mask = q_idx > 3\n");
}

TEST(ReplCommand, CommandsWork) {
  EXPECT_EQ(program_after("let a = 1\nlet c = 2\n:undo\n"), "let a = 1\n");
  EXPECT_EQ(program_after("let a = 1\n:reset\n"), "");
  EXPECT_EQ(program_after("let a = 1\n:reset\n:undo\n"), "let a = 1\n");
  const auto set = replies("param w : int = 2\nkv_idx < w\n:set w 48\n:mask\n:set q_len 24\n:set\n");
  EXPECT_NE(set[3]["text"].get<std::string>().find("288 full"), std::string::npos) << set[3];
  EXPECT_NE(set[5]["text"].get<std::string>().find("q_len 24"), std::string::npos);
  EXPECT_NE(set[5]["text"].get<std::string>().find("w=48"), std::string::npos);
  EXPECT_NE(replies("score * 2\n:inspect ir\n")[1]["text"].get<std::string>().find("= mul"), std::string::npos);
  const std::string help = replies(":help\n")[0]["text"];
  for (const char* command : {":show", ":reset", ":undo", ":set", ":mask", ":speed", ":inspect", ":save", ":load", ":quit"})
    EXPECT_NE(help.find(command), std::string::npos) << command;
  EXPECT_EQ(replies(":quit\nlet a = 1\n").size(), 1U);
}

TEST(ReplCommand, FilesAreSavedAndLoaded) {
  const TemporaryFolder folder;
  const std::string source =
      folder.write("in.flex", "# a window\nlet d = q_idx -   # goes on\n  kv_idx\nmask = d >= 0 && (let e = d; e < 9)\n");
  const std::string saved = folder.path("out.flex");
  EXPECT_EQ(type(":load " + source + "\n:save " + saved + "\n").exit_code, 0);
  std::ifstream in(saved);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_NE(text.str().find("mask = d >= 0 && (let e = d; e < 9)\n"), std::string::npos) << text.str();
  EXPECT_EQ(text.str().find("window"), std::string::npos);
  EXPECT_EQ(run_flexjit({"check", saved}).exit_code, 0) << text.str();
}

TEST(ReplCommand, WhatIsWrongIsNamed) {
  const std::tuple<const char*, const char*, int> cases[] = {{":frob\n", "unknown-command", 2},
                                                             {":set q_len many\n", "usage", 2},
                                                             {":set dtype f8\n", "usage", 2},
                                                             {":set nothing 3\n", "unknown-name", 2},
                                                             {":load /nonexistent\n", "unreadable-file", 2},
                                                             {":undo\n", "nothing-to-undo", 2},
                                                             {":save /nonexistent/a\n", "unwritable-file", 1},
                                                             {":inspect soul\n", "usage", 2},
                                                             {"param w : int\nkv_idx < w\n", "missing-binding", 2},
                                                             {"buffer t : f32[4]\nscore + t[kv_idx]\n", "buffer-read", 1}};
  for (const auto& [lines, kind, exit_code] : cases) {
    EXPECT_EQ(replies(lines).back()["errors"][0]["kind"], kind) << lines;
    EXPECT_EQ(type(lines).exit_code, exit_code) << lines;
  }
}

TEST(ReplCommand, APipeHasNoPromptsAndNoEscapes) {
  const CommandResult result = type("score * 2\n");
  EXPECT_EQ(result.out.find("flexjit>"), std::string::npos);
  EXPECT_EQ(result.out.find('\x1b'), std::string::npos);
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(type("").out, "");
}

// The command on a pseudo-terminal, with a folder of its own for its state.
class Terminal {
 public:
  explicit Terminal(const std::string& state) {
    child_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (child_ != 0) return;
    setenv("XDG_STATE_HOME", state.c_str(), 1);
    setenv("TERM", "xterm", 1);
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);  // libedit keeps two strings for good
    execl(FLEXJIT_COMMAND, FLEXJIT_COMMAND, "repl", "--q-len", "32", "--heads", "1", static_cast<char*>(nullptr));
    _exit(127);
  }
  ~Terminal() {
    close(terminal_);
    if (child_ > 0) kill(child_, SIGKILL);
    if (child_ > 0) waitpid(child_, nullptr, 0);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // The prompt is shown a moment before the terminal is handed to the line editor: typed between the two, Ctrl-U and Ctrl-D
  // would act on the terminal's own line.
  void type(const std::string& keys) const {
    termios mode{};
    for (int ms = 0; tcgetattr(terminal_, &mode) == 0 && (mode.c_lflag & ICANON) != 0 && ms < kPatienceMs; ++ms) usleep(1000);
    EXPECT_EQ(write(terminal_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }

  // Ctrl-C while the terminal is not handed to the line editor: as the terminal itself sends it.
  void interrupt() const { EXPECT_EQ(write(terminal_, "\x03", 1), 1); }

  // What is shown until `text` and a prompt after it are: what is typed before the prompt goes to the terminal's own line
  // editor instead. All that came when they never are.
  std::string wait_for(const std::string& text) {
    std::string shown;
    pollfd ready{.fd = terminal_, .events = POLLIN, .revents = 0};
    const auto is_complete = [&] {
      const std::size_t at = shown.find(text);
      return at != std::string::npos && shown.find("flexjit> ", at) != std::string::npos;
    };
    while (!is_complete() && poll(&ready, 1, kPatienceMs) > 0) {
      char bytes[4096];
      const ssize_t count = read(terminal_, bytes, sizeof bytes);
      if (count <= 0) break;
      shown.append(bytes, static_cast<std::size_t>(count));
    }
    return shown;
  }

  // -1: it was asked to end and did not.
  int wait_for_end() {
    int status = 0;
    wait_for("never shown");
    kill(child_, SIGKILL);  // of a process that has ended, nothing
    waitpid(std::exchange(child_, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  static constexpr int kPatienceMs = 60000;

  int terminal_ = -1;
  pid_t child_ = -1;
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(ReplCommand, ATerminalCompletesAndRemembers) {
  const TemporaryFolder folder;
  {
    Terminal terminal(folder.path("state"));
    EXPECT_TRUE(contains(terminal.wait_for("flexjit> "), "Tab completes"));
    terminal.type("let my_distance = q_id\t\n:sh\t\n");  // q_idx; :show
    EXPECT_TRUE(contains(terminal.wait_for("# batch"), "let my_distance = q_idx"));
    terminal.type("score + my_\t * ta\t(score)\n");
    EXPECT_TRUE(contains(terminal.wait_for("of the peak"), "GFLOP/s"));
    terminal.type(":show\n");
    EXPECT_TRUE(contains(terminal.wait_for("# batch"), "score = score + my_distance * tanh(score)"));
    terminal.type("score + kv_l\t\t\x15kv_\t\t");  // several: they are listed
    EXPECT_TRUE(contains(terminal.wait_for("kv_head"), "kv_idx"));
    terminal.type("\x15:quit\n");
    EXPECT_EQ(terminal.wait_for_end(), 0);
  }
  struct stat info{};
  ASSERT_EQ(stat(folder.path("state/flexjit/history").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  Terminal later(folder.path("state"));
  later.wait_for("flexjit> ");
  later.type("\x1b[A\x1b[A\x1b[A\n");  // three lines up: :quit, :show, the score
  EXPECT_TRUE(contains(later.wait_for("unknown name"), "my_distance * tanh(score)"));
  later.type("\x04");
  EXPECT_EQ(later.wait_for_end(), 0);
}

TEST(ReplCommand, CtrlCCancelsTheLineOrTheRunAndKeepsThePattern) {
  const TemporaryFolder folder;
  Terminal terminal(folder.path("state"));
  terminal.wait_for("flexjit> ");
  terminal.type("let half = 0.5\n");
  terminal.wait_for("flexjit> ");
  terminal.type("score + nonsense");
  usleep(300'000);
  terminal.interrupt();  // the line
  EXPECT_TRUE(contains(terminal.wait_for("^C"), "^C"));
  terminal.type(":set q_len 30000\n:set heads 4\n:set\n");
  terminal.wait_for("kv_len 30000");
  terminal.type("score * half\n");  // runs of half a minute
  usleep(500'000);
  terminal.interrupt();
  EXPECT_TRUE(contains(terminal.wait_for("interrupted"), "the pattern stays as it is"));
  terminal.type(":show\n");
  const std::string shown = terminal.wait_for("# batch");
  EXPECT_TRUE(contains(shown, "let half = 0.5")) << shown;
  EXPECT_TRUE(contains(shown, "score = score * half")) << shown;
  EXPECT_FALSE(contains(shown, "nonsense")) << shown;
  terminal.type(":quit\n");
  EXPECT_EQ(terminal.wait_for_end(), 0);
}

}  // namespace
}  // namespace flexjit::tests
