// What a command line says that cannot be meant: files that would be lost, patterns given twice, words that are misspelt; and
// what help, the manual and the completion say of options.
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <filesystem>

#include "cli/subprocess.h"
#include "data/array.h"
#include "data/memory.h"
#include "data/npy.h"

namespace flexjit::tests {
namespace {

namespace fs = std::filesystem;
using tools::Array;
using tools::write_npy;
using Words = std::vector<std::string>;

std::string said(const Words& line, const std::string& input = "") { return run_flexjit(line, input).err; }

// Refused, with nothing made.
void expect_refused(const Words& line, const std::string& part, const std::string& input = "") {
  const CommandResult result = run_flexjit(line, input);
  EXPECT_EQ(result.exit_code, 2) << testing::PrintToString(line);
  EXPECT_NE(result.err.find(part), std::string::npos) << testing::PrintToString(line) << result.err;
}

TEST(FileUses, NoOutputIsAnotherOutputOrAnInput) {
  const TemporaryFolder folder;
  const std::string pattern = folder.write("c.flex", "mask = q_idx >= kv_idx\n"), a = folder.path("a"), b = folder.path("b");
  fs::create_symlink("a", b);
  fs::create_directory(folder.path("sub"));
  const std::string around = folder.path("sub/../a"), q = folder.path("q.npy");
  ASSERT_TRUE(write_npy(q, Array(DType::kF32, {1, 1, 8, 8})));
  const std::string lost = "would write over";
  for (const std::string& same : {a, b, around}) {
    expect_refused({"run", pattern, "--out", a, "--lse", same}, lost);
    expect_refused({"run", pattern, "--trace", a, "--heat-map", same}, lost);
    expect_refused({"mask", pattern, "--svg", a, "--save", same}, lost);
    expect_refused({"bench", "--svg", a, "--markdown", same}, lost);
  }
  expect_refused({"build", pattern, "-o", folder.path("x.a"), "--header", folder.path("x.a")}, lost);
  expect_refused({"build", pattern, "-o", folder.path("x.a"), "--header", pattern}, lost);
  expect_refused({"mask", pattern, "--png", pattern}, lost);
  expect_refused({"inspect", pattern, "--html", pattern}, lost);
  expect_refused({"run", pattern, "--q", q, "--k", q, "--v", q, "--out", q}, lost);
  EXPECT_FALSE(fs::exists(a));
  EXPECT_FALSE(fs::exists(folder.path("x.a")));
  fs::create_hard_link(q, folder.path("hard.npy"));
  expect_refused({"run", pattern, "--q", q, "--k", q, "--v", q, "--out", folder.path("hard.npy")}, lost);
  EXPECT_EQ(run_flexjit({"mask", pattern, "--q-len", "8", "--svg", "/dev/null", "--save", "/dev/null"}).exit_code, 0);
}

TEST(FileUses, StdinIsReadOnce) {
  const std::string text = "mask = q_idx >= kv_idx\n";
  expect_refused({"run", "-", "--q", "-"}, "is stdin, which the pattern reads already", text);
  expect_refused({"run", "--causal", "--q", "-", "--k", "/dev/stdin"}, "is stdin, which --q reads already", text);
  expect_refused({"mask", "-", "--buffer", "a=-"}, "is stdin, which the pattern reads already", text);
  expect_refused({"check", "-", "-"}, "reads already", text);
}

TEST(FileUses, AFolderIsNoArray) { expect_refused({"run", "--causal", "--q", "."}, ": error: is a directory"); }

TEST(FileUses, ALibraryAppearsWithItsHeaderOrNotAtAll) {
  const TemporaryFolder folder;
  const std::string library = folder.path("lib.a");
  for (const std::string& header : {std::string("/dev/full"), folder.path("nowhere/lib.h")}) {
    EXPECT_EQ(run_flexjit({"build", "--preset", "causal", "-o", library, "--header", header}).exit_code, 1);
    EXPECT_FALSE(fs::exists(library)) << header;
  }
}

TEST(FileUses, ALimitOfFileSizesIsAnErrorAndLeavesNothing) {
  const TemporaryFolder folder;
  const std::string out = folder.path("o.npy");
  const CommandResult result =
      run_program({"sh", "-c",
                   "ulimit -f 1; " + std::string(FLEXJIT_COMMAND) +
                       " run --causal --q-len 256 --heads 2 --reference --verify-rows 0 --out " + out});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("File too large"), std::string::npos) << result.err;
  EXPECT_TRUE(fs::is_empty(folder.path("")));
}

TEST(Usage, TwoPatternsAreNamed) {
  const TemporaryFolder folder;
  const std::string pattern = folder.write("c.flex", "mask = q_idx >= kv_idx\n");
  expect_refused({"run", "-e", "mask = true", pattern}, "two patterns are given, FILE `" + pattern + "` and -e");
  expect_refused({"mask", "--preset", "causal", pattern}, "and --preset causal");
  expect_refused({"run"}, "give the pattern as a FILE");
}

TEST(Usage, EveryKindOfWordHasASuggestion) {
  const auto suggests = [](const Words& line, const std::string& meant) {
    const std::string text = said(line);
    EXPECT_NE(text.find("did you mean `" + meant + "`?"), std::string::npos) << testing::PrintToString(line) << text;
  };
  suggests({"cache", "lst"}, "list");
  suggests({"cache", "--dir", "/tmp", "lst"}, "list");
  suggests({"run", "--causal", "-q-len", "4"}, "--q-len");
  suggests({"run", "--causal", "--dtype", "fp16"}, "f16");
  suggests({"run", "--causal", "--weights", "sigmod"}, "sigmoid");
  suggests({"inspect", "--causal", "--view=assm"}, "asm");
  suggests({"inspect", "--causal", "--view", "plan,assm"}, "asm");
  suggests({"bench", "--suite", "dens"}, "dense");
  suggests({"run", "--dtype", "f32", "--casual"}, "--causal");
}

TEST(Usage, HelpIsACommandToo) {
  EXPECT_EQ(run_flexjit({"help"}).out, run_flexjit({"--help"}).out);
  EXPECT_EQ(run_flexjit({"help", "run"}).out, run_flexjit({"run", "--help"}).out);
  EXPECT_EQ(run_flexjit({"help", "cache", "list"}).exit_code, 0);
}

TEST(Usage, FlagsTakeNoValueInTheManual) {
  const std::string manual = run_flexjit({"--man"}).out, fish = run_flexjit({"--completion", "fish"}).out,
                    bash = run_flexjit({"--completion", "bash"}).out;
  for (const char* flag : {"causal", "json", "help", "generate", "version"}) {
    EXPECT_NE(manual.find(std::string("\\-\\-") + flag + "\n"), std::string::npos) << flag;
    EXPECT_EQ(bash.find(std::string("'run --") + flag + "'"), std::string::npos) << flag;
  }
  EXPECT_NE(manual.find("\\-\\-sinks \\fI[FILE]\\fR"), std::string::npos);
  EXPECT_NE(manual.find("\\-\\-window \\fIVALUE\\fR"), std::string::npos);
  EXPECT_NE(bash.find("'run --dtype') values='f32 bf16 f16 f64'"), std::string::npos);
  EXPECT_NE(bash.find("'run --preset') values='causal "), std::string::npos);
  EXPECT_NE(fish.find("-l causal -d"), std::string::npos);
  for (const char* command : {"run", "bench", "build", "inspect"})
    EXPECT_NE(run_flexjit({command, "--help"}).out.find("x86-64-v4-bf16"), std::string::npos) << command;
}

TEST(Build, TakesEveryFormOfAPatternWithAName) {
  const TemporaryFolder folder;
  const std::string library = folder.path("lib.a");
  const Words forms[] = {{"-e", "mask = q_idx >= kv_idx"}, {"--causal"}, {"-"}};
  for (const Words& form : forms) {
    Words line = {"build", "-o", library, "--head-dim", "16", "--target", "x86-64-v2"};
    line.insert(line.end(), form.begin(), form.end());
    expect_refused(line, "--name: error: is missing", "mask = q_idx >= kv_idx\n");
    line.insert(line.end(), {"--name", "mine"});
    EXPECT_EQ(run_flexjit(line, "mask = q_idx >= kv_idx\n").exit_code, 0) << form[0];
  }
  expect_refused({"build", "--preset", "causal", "-o", library, "--key-lengths", "none.npy"}, "none.npy");
}

TEST(Usage, AFileOfAFlagMustBeThere) {
  for (const char* flag : {"--key-lengths", "--sinks", "--alibi", "--key-mask"})
    expect_refused({"check", "-e", "mask = true", flag, "none.npy"}, "none.npy: error: cannot be opened");
}

TEST(Usage, MemoryIsCheckedForAllTensorsTogether) {
  // Five tensors of up to 8 GiB, none of which alone is too large.
  if (tools::usable_memory() > (std::int64_t{38} << 30)) GTEST_SKIP() << "this machine has room";
  expect_refused({"run", "--causal", "--heads", "2147483647", "--q-len", "1", "--head-dim", "1"}, "would need 40.0 GiB");
}

TEST(Memory, IsThatOfTheNarrowestGroup) {
  const TemporaryFolder folder;
  fs::create_directories(folder.path("outer/inner"));
  fs::create_directories(folder.path("memory/old"));
  folder.write("outer/memory.max", "4096\n");
  folder.write("outer/inner/memory.max", "max\n");
  folder.write("memory/old/memory.limit_in_bytes", "2048\n");
  EXPECT_EQ(tools::cgroup_memory(folder.path(""), "0::/outer/inner\n"), 4096);
  EXPECT_EQ(tools::cgroup_memory(folder.path(""), "3:memory:/old\n0::/outer\n"), 2048);
  EXPECT_GT(tools::cgroup_memory(folder.path(""), "0::/\n"), std::int64_t{1} << 60);
  EXPECT_GT(tools::usable_memory(), 1 << 20);
}

TEST(Repl, AFullDiskIsAnErrorWhateverStillRuns) {
  const std::string command = std::string(FLEXJIT_COMMAND) + " repl > /dev/full";
  for (int i = 0; i < 5; ++i) EXPECT_EQ(run_program({"sh", "-c", command}, "mask = q_idx >= kv_idx\n").exit_code, 1);
}

TEST(Repl, CommandsMayBeCutShort) {
  EXPECT_EQ(run_flexjit({"repl"}, ":q\nnonsense\n").exit_code, 0);
  EXPECT_NE(run_flexjit({"repl"}, ":exit\n").out.find("did you mean `:quit`?"), std::string::npos);
  EXPECT_NE(run_flexjit({"repl"}, ":sepeed\n").out.find("did you mean `:speed`?"), std::string::npos);
  EXPECT_EQ(run_flexjit({"repl"}, ":s\n").exit_code, 2) << "show, set, speed or save";
}

TEST(Check, ListsEveryFile) {
  const TemporaryFolder folder;
  const std::string right = folder.write("right.flex", "mask = q_idx >= kv_idx\n"),
                    wrong = folder.write("wrong.flex", "mask = (\n"), missing = folder.path("missing.flex");
  const CommandResult mixed = run_flexjit({"check", right, wrong, missing, "--json"});
  EXPECT_EQ(mixed.exit_code, 2);
  EXPECT_EQ(
      mixed.json()["files"],
      nlohmann::json({{{"file", right}, {"ok", true}}, {{"file", wrong}, {"ok", false}}, {{"file", missing}, {"ok", false}}}));
  EXPECT_EQ(mixed.json()["errors"].size(), 2U);
  const nlohmann::json fine = run_flexjit({"check", right, "--json"}).json();
  EXPECT_EQ(fine["files"][0]["ok"], true);
  EXPECT_TRUE(fine["errors"].empty());
}

// Of two buffers of a text, the mask reads one.
TEST(Mask, NeedsOnlyWhatItReads) {
  const TemporaryFolder folder;
  const std::string ids = folder.path("ids.npy");
  ASSERT_TRUE(write_npy(ids, Array(DType::kI32, {16})));
  const std::string text =
      "buffer slope : f32[num_heads]; buffer id : i32[q_len]; score = score * slope[h]; mask = id[q_idx] == 0";
  const CommandResult one = run_flexjit({"mask", "-e", text, "--q-len", "16", "--buffer", "id=" + ids, "--json"});
  ASSERT_EQ(one.exit_code, 0) << one.out;
  EXPECT_EQ(one.json()["popcount"], 16 * 16);
  Array slopes(DType::kF32, {4});
  ASSERT_TRUE(write_npy(folder.path("s.npy"), slopes));
  expect_refused({"mask", "-e", text, "--q-len", "16", "--buffer", "slope=" + folder.path("s.npy")},
                 "`id` is bound to nothing");
}

TEST(Run, SaysWhenACallIsTooSmallToMeasure) {
  const Words line = {"run", "-e", "mask = kv_idx == 0", "--q-len", "1", "--kv-len", "4096", "--repeat", "2"};
  const CommandResult result = run_flexjit(line);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out.find("0.0 GB/s"), std::string::npos) << result.out;
  const bool reads = result.out.find("FMA peak") == std::string::npos;
  EXPECT_EQ(result.out.find("too small to measure") != std::string::npos, reads) << result.out;
}

}  // namespace
}  // namespace flexjit::tests
