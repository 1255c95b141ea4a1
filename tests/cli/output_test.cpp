// Files that the command writes: whole or not at all, through what is no regular file, along links; and disks that are full,
// stdout among them.
#include "data/output_file.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "cli/subprocess.h"
#include "data/array.h"
#include "data/npy.h"

namespace flexjit::tests {
namespace {

namespace fs = std::filesystem;
using tools::OutputFile;
using tools::write_file;

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

TEST(OutputFile, ReplacesWholeAndKeepsTheMode) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a", "old, and longer than the new text");
  const std::string beside = folder.write("a.tmp", "not ours");
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  ASSERT_TRUE(write_file(path, "new"));
  EXPECT_EQ(read_file(path), "new");
  EXPECT_EQ(read_file(beside), "not ours");
  struct stat info{};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
  EXPECT_EQ(names_in(folder.path("")), (std::vector<std::string>{"a", "a.tmp"}));
}

TEST(OutputFile, LeavesWhatWasThereUntilItIsClosed) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a", "old");
  {
    OutputFile file(path);
    file.write(std::string(1 << 20, 'x'));
    EXPECT_EQ(read_file(path), "old");
  }  // not closed: given up
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(names_in(folder.path("")), (std::vector<std::string>{"a"}));
}

TEST(OutputFile, FollowsLinks) {
  const TemporaryFolder folder;
  const std::string target = folder.write("target", "old");
  fs::create_directory(folder.path("sub"));
  fs::create_symlink("../target", folder.path("sub/link"));
  fs::create_symlink("sub/link", folder.path("chain"));
  fs::create_symlink("made", folder.path("dangling"));
  ASSERT_TRUE(write_file(folder.path("chain"), "new"));
  ASSERT_TRUE(write_file(folder.path("dangling"), "made"));
  EXPECT_TRUE(fs::is_symlink(folder.path("chain")));
  EXPECT_TRUE(fs::is_symlink(folder.path("sub/link")));
  EXPECT_EQ(read_file(target), "new");
  EXPECT_TRUE(fs::is_symlink(folder.path("dangling")));
  EXPECT_EQ(read_file(folder.path("made")), "made");
  fs::create_symlink("loop", folder.path("loop"));
  EXPECT_EQ(write_file(folder.path("loop"), "x").diagnostics()[0].kind, "unwritable-file");
}

TEST(OutputFile, WritesThroughPipesAndDevices) {
  const TemporaryFolder folder;
  const std::string fifo = folder.path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  std::string read;
  std::jthread reader([&] { read = read_file(fifo); });
  ASSERT_TRUE(write_file(fifo, std::string(200'000, 'y')));
  reader.join();
  EXPECT_EQ(read, std::string(200'000, 'y'));
  EXPECT_TRUE(fs::is_fifo(fifo));
  ASSERT_TRUE(write_file("/dev/null", "x"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  const Status full = write_file("/dev/full", "x");
  ASSERT_FALSE(full);
  EXPECT_EQ(full.diagnostics()[0].message, "cannot be written: No space left on device");
  EXPECT_EQ(write_file(folder.path(""), "x").diagnostics()[0].kind, "unwritable-file");
}

TEST(OutputFile, BuildKeepsLinksAndOtherFiles) {
  const TemporaryFolder folder;
  const std::string pattern = folder.write("causal.flex", "mask = q_idx >= kv_idx\n");
  folder.write("n.tmp", "mine");
  fs::create_symlink("real.h", folder.path("n"));
  const std::string library = folder.path("libcausal.o");
  ASSERT_EQ(run_flexjit({"build", pattern, "-o", library, "--header", folder.path("n")}).exit_code, 0);
  EXPECT_TRUE(fs::is_symlink(folder.path("n")));
  EXPECT_NE(read_file(folder.path("real.h")).find("causal_run"), std::string::npos);
  EXPECT_EQ(read_file(folder.path("n.tmp")), "mine");
  const CommandResult full = run_flexjit({"build", pattern, "-o", library, "--header", "/dev/full"});
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_NE(full.err.find("No space left on device"), std::string::npos) << full.err;
}

// Every file option of every command, onto a full disk.
TEST(Output, AFullDiskIsAnErrorOfEveryFile) {
  const TemporaryFolder folder;
  const std::vector<std::string> small = {"--q-len", "40", "--heads", "1", "--head-dim", "8"};
  const std::vector<std::vector<std::string>> lines = {{"run", "--causal", "--repeat", "1", "--out", "/dev/full"},
                                                       {"run", "--causal", "--repeat", "1", "--lse", "/dev/full"},
                                                       {"run", "--causal", "--repeat", "1", "--trace", "/dev/full"},
                                                       {"run", "--causal", "--repeat", "1", "--dump-scores", "/dev/full"},
                                                       {"inspect", "--causal", "--html", "/dev/full"},
                                                       {"mask", "--causal", "--svg", "/dev/full"},
                                                       {"mask", "--causal", "--png", "/dev/full"},
                                                       {"mask", "--causal", "--save", "/dev/full"}};
  for (std::vector<std::string> line : lines) {
    const bool mask = line[0] == "mask";
    line.insert(line.end(), small.begin(), mask ? small.begin() + 4 : small.end());
    const CommandResult result = run_flexjit(line);
    EXPECT_EQ(result.exit_code, 1) << testing::PrintToString(line) << result.out;
    EXPECT_NE(result.err.find("No space left on device"), std::string::npos) << testing::PrintToString(line) << result.err;
  }
}

TEST(Output, AFullStdoutIsAnErrorOfEveryCommand) {
  for (const char* line : {"--help", "--version", "run --help", "run --causal --q-len 40 --heads 1 --repeat 1",
                           "run --causal --q-len 40 --heads 1 --repeat 1 --json", "check --causal", "check --causal --json",
                           "check -e 'mask = '  --json", "explain --causal --q-len 40 --heads 1 --seconds 0.1", "doctor",
                           "doctor --json", "mask --causal --q-len 40", "mask --causal --q-len 40 --json", "inspect --causal",
                           "inspect --causal --view=all --target aarch64", "bench --quick --suite dense --filter '2k D=64/f32'",
                           "cache --dir /nonexistent/flexjit", "rnu --json"}) {
    const std::string command = std::string(FLEXJIT_COMMAND) + " " + line + " > /dev/full";
    const CommandResult result = run_program({"sh", "-c", command});
    EXPECT_GT(result.exit_code, 0) << line;
    EXPECT_NE(result.err.find("No space left on device"), std::string::npos) << line << ": " << result.err;
  }
  const CommandResult repl =
      run_program({"sh", "-c", std::string(FLEXJIT_COMMAND) + " repl > /dev/full"}, "let a = 1\n:show\n");
  EXPECT_EQ(repl.exit_code, 1);
}

TEST(Output, AClosedStdoutIsAnErrorAndNoFile) {
  const TemporaryFolder folder;
  const std::string out = folder.path("o.npy");
  const std::string command =
      std::string(FLEXJIT_COMMAND) + " run --causal --q-len 40 --heads 1 --repeat 1 --out " + out + " >&-";
  EXPECT_EQ(run_program({"sh", "-c", command}).exit_code, 1);
  EXPECT_TRUE(tools::read_npy(out)) << "what is printed went into the file";
}

// A file that is a pipe, in both directions, and stdin by its name.
TEST(Output, ArraysGoThroughPipes) {
  const TemporaryFolder folder;
  tools::Array q(DType::kF32, {1, 1, 40, 8});
  for (std::int64_t i = 0; i < q.count(); ++i) q.as<float>()[i] = static_cast<float>(i % 7);
  ASSERT_TRUE(tools::write_npy(folder.path("q.npy"), q));
  const std::string in = folder.path("q.npy"), out = folder.path("o.npy");
  const std::string run = std::string(FLEXJIT_COMMAND) + " run --causal --repeat 1 --k " + in + " --v " + in;
  for (const std::string& line :
       {"cat " + in + " | " + run + " --q /dev/stdin --out " + out, "cat " + in + " | " + run + " --q - --out " + out,
        run + " --q " + in + " --out /dev/stderr 2> " + out + " > /dev/null"}) {
    fs::remove(out);
    const CommandResult result = run_program({"sh", "-c", line});
    ASSERT_EQ(result.exit_code, 0) << line << result.out << result.err;
    EXPECT_EQ(tools::read_npy(out).value().shape, q.shape) << line;
  }
}

}  // namespace
}  // namespace flexjit::tests
