// Whole processes that share a cache directory and are killed by SIGKILL at random moments, while entries are deleted, cut and
// changed underneath: every result that any of them got is right, nothing is left behind, and the directory serves the next.
//
// FLEXJIT_KILL_ROUNDS sets another number of rounds than the default, FLEXJIT_TEST_SEED the seed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "cache_steps.h"
#include "cli/subprocess.h"

namespace flexjit::test {
namespace {

namespace fs = std::filesystem;
using tests::run_flexjit;

constexpr int kProcesses = 4;
constexpr std::int64_t kDefaultRounds = 40;

std::int64_t setting(const char* name, std::int64_t fallback) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atoll(text) : fallback;
}

// How often each step was reported.
struct Steps {
  std::int64_t compiled = 0, found = 0, stored = 0, other = 0;

  void add(char byte) {
    switch (static_cast<Step>(byte)) {
      case Step::kCompiled: ++compiled; return;
      case Step::kFound: ++found; return;
      case Step::kStored: ++stored; return;
      case Step::kOther: break;
    }
    ++other;
  }
};

// A cache_worker that was started; its standard output is a pipe that it cannot fill in the time that it lives.
class Worker {
 public:
  explicit Worker(std::vector<std::string> arguments) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    arguments.insert(arguments.begin(), FLEXJIT_CACHE_WORKER);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    const int error = ::posix_spawn(&process_, FLEXJIT_CACHE_WORKER, &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    output_ = ends[0];
    if (error != 0) throw std::runtime_error("cannot start " FLEXJIT_CACHE_WORKER);
  }
  ~Worker() { ::close(output_); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void kill() const { ::kill(process_, SIGKILL); }
  // Waits for its end; the status as waitpid gives it.
  int end() const {
    int status = 0;
    ::waitpid(process_, &status, 0);
    return status;
  }
  void count(Steps& steps) const {
    std::array<char, 4096> bytes;
    for (ssize_t got = 0; (got = ::read(output_, bytes.data(), bytes.size())) > 0;) {
      std::for_each_n(bytes.begin(), got, [&](char byte) { steps.add(byte); });
    }
  }

 private:
  pid_t process_ = 0;
  int output_ = -1;
};

class KilledProcesses : public ::testing::Test {
 protected:
  // Everything that the workers use, compiled once by one that nobody disturbs.
  void SetUp() override {
    Worker worker({stock_, "0", "once"});
    ASSERT_EQ(worker.end(), 0);
  }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    std::error_code missing;
    for (const auto& entry : fs::directory_iterator(directory_, missing)) names.push_back(entry.path().filename());
    return names;
  }
  void damage_one(std::mt19937& random) const;
  void play_round(std::mt19937& random, Steps& steps) const;

  tests::TemporaryFolder folder_;
  const std::string directory_ = folder_.path("kernels"), stock_ = folder_.path("stock");
};

// Deletes, cuts or changes one file that lies there, if it still does.
void KilledProcesses::damage_one(std::mt19937& random) const {
  const std::vector<std::string> there = names();
  if (there.empty()) return;
  const std::string path = directory_ + "/" + there[random() % there.size()];
  std::error_code gone;
  const std::uintmax_t size = fs::file_size(path, gone);
  if (gone || size == 0) return;
  const std::uintmax_t at = random() % size;
  switch (random() % 3) {
    case 0: fs::remove(path, gone); break;
    case 1: fs::resize_file(path, at, gone); break;
    case 2: {
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(static_cast<std::streamoff>(at));
      const int byte = file.get();
      file.seekp(static_cast<std::streamoff>(at));
      file.put(static_cast<char>(byte ^ (1 << random() % 8)));
      break;
    }
  }
}

// Four processes, each killed at a moment of its own, and a file damaged about every two milliseconds.
void KilledProcesses::play_round(std::mt19937& random, Steps& steps) const {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kRound{300};
  struct Player {
    std::unique_ptr<Worker> worker;
    Clock::time_point killed_at;
  };
  const Clock::time_point begin = Clock::now();
  std::vector<Player> players;
  for (int i = 0; i < kProcesses; ++i) {
    const std::vector<std::string> arguments = {directory_, std::to_string(random()), "until-killed", stock_};
    const std::chrono::microseconds moment(random() % std::chrono::microseconds(kRound).count());
    players.push_back({std::make_unique<Worker>(arguments), begin + moment});
  }
  while (!players.empty()) {
    std::erase_if(players, [&](const Player& player) {
      if (Clock::now() < player.killed_at) return false;
      player.worker->kill();
      const int status = player.worker->end();
      EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "it ended by itself, status " << status;
      player.worker->count(steps);
      return true;
    });
    if (random() % 2 == 0) damage_one(random);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST_F(KilledProcesses, LeaveACacheThatServesTheNext) {
  const std::int64_t rounds = setting("FLEXJIT_KILL_ROUNDS", kDefaultRounds), seed = setting("FLEXJIT_TEST_SEED", 1);
  std::printf("%lld rounds of %d processes, seed %lld\n", static_cast<long long>(rounds), kProcesses,
              static_cast<long long>(seed));
  std::mt19937 random(static_cast<unsigned>(seed));
  Steps steps;
  std::size_t most_files = 0, strays = 0;
  for (std::int64_t round = 0; round < rounds && !HasFailure(); ++round) {
    play_round(random, steps);
    const std::vector<std::string> left = names();
    most_files = std::max(most_files, left.size());
    strays = static_cast<std::size_t>(std::ranges::count_if(left, [](const auto& name) { return !name.ends_with(".kernel"); }));
  }
  std::printf(
      "patterns compiled %lld, found on disk %lld, all right; kernels stored %lld; at most %zu files, %zu strays at the end\n",
      static_cast<long long>(steps.compiled), static_cast<long long>(steps.found), static_cast<long long>(steps.stored),
      most_files, strays);
  EXPECT_GT(steps.compiled + steps.found, 0);  // on a busy machine most are killed before
  EXPECT_GT(steps.stored, rounds);
  EXPECT_EQ(steps.other, 0);
  EXPECT_EQ(strays, 0U);

  EXPECT_EQ(Worker({directory_, "0", "once"}).end(), 0) << "a fresh process";
  for (int i = 0; i < 3; ++i) damage_one(random);
  EXPECT_EQ(run_flexjit({"cache", "verify", "--dir", directory_}).exit_code, 0);
  const auto listed = run_flexjit({"cache", "list", "--dir", directory_, "--json"}).json();
  for (const auto& kernel : listed["kernels"]) EXPECT_FALSE(kernel["damaged"]) << kernel;
}

TEST_F(KilledProcesses, FourAskAtOnceAndOneMoreFindsAll) {
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < kProcesses; ++i) {
    workers.push_back(std::make_unique<Worker>(std::vector<std::string>{directory_, "0", "once"}));
  }
  Steps together, later;
  for (const auto& worker : workers) {
    EXPECT_EQ(worker->end(), 0);
    worker->count(together);
  }
  EXPECT_GT(together.compiled, 0);
  EXPECT_EQ(together.other, 0);
  const Worker late({directory_, "0", "once"});
  EXPECT_EQ(late.end(), 0);
  late.count(later);
  EXPECT_EQ(later.compiled, 0);
  EXPECT_GT(later.found, 0);
  const std::vector<std::string> left = names();
  EXPECT_EQ(left.size(), 2 * static_cast<std::size_t>(later.found)) << "one file a kernel, two kernels a pattern";
}

}  // namespace
}  // namespace flexjit::test
