// What the system refuses is a miss or a kernel that is not kept, never a failure: full and read-only disks, files that cannot
// be read, file systems without unnamed files, writers that are killed there, limits of the process.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <random>
#include <string>

#include "cache/disk_cache.h"
#include "disk_cache_fixture.h"
#include "refusing_system.h"

namespace flexjit::cache {
namespace {

using test::Refusal;
using test::Refusing;

class RefusedFiles : public DiskCacheTest {
 protected:
  std::size_t files() const {
    std::error_code missing;
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory_, missing), fs::directory_iterator()));
  }
  // Makes every file older than any writer lives.
  void age_all() const {
    for (const auto& entry : fs::directory_iterator(directory_)) {
      fs::last_write_time(entry.path(), fs::file_time_type::clock::now() - std::chrono::hours(1));
    }
  }
};

TEST_F(RefusedFiles, StoresWithoutUnnamedFiles) {
  DiskCache cache(directory_, kRoomy);
  {
    const Refusing refusing(Refusal::kUnnamedFiles);
    cache.store(image_of("a"));
    cache.store(image_of("a"));
  }
  expect_same(cache.load("a"), image_of("a"));
  EXPECT_EQ(files(), 1U);
}

TEST_F(RefusedFiles, FullDiskKeepsWhatWasThere) {
  DiskCache cache(directory_, kRoomy);
  cache.store(image_of("before"));
  {
    const Refusing refusing(Refusal::kFullDisk);
    cache.store(image_of("a"));
    EXPECT_FALSE(cache.load("a").has_value());
    expect_same(cache.load("before"), image_of("before"));
  }
  EXPECT_EQ(files(), 1U) << "no half of an entry";
  cache.store(image_of("a"));
  expect_same(cache.load("a"), image_of("a"));
}

// By the system itself: no file of this process may grow beyond 100 bytes.
TEST_F(RefusedFiles, LimitOfFileSizes) {
  DiskCache cache(directory_, kRoomy);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{.rlim_cur = 100, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  cache.store(image_of("a"));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_FALSE(cache.load("a").has_value());
  EXPECT_EQ(files(), 0U);
}

TEST_F(RefusedFiles, ReadOnlyDirectoryIsStillRead) {
  DiskCache cache(directory_, kRoomy);
  {
    const Refusing refusing(Refusal::kReadOnly);
    cache.store(image_of("a"));
    EXPECT_FALSE(fs::exists(directory_));
  }
  cache.store(image_of("a"));
  cache.store(image_of("damaged"));
  write_bytes(path_of("damaged"), {1, 2, 3});
  const Refusing refusing(Refusal::kReadOnly);
  cache.store(image_of("b"));
  expect_same(cache.load("a"), image_of("a"));
  EXPECT_FALSE(cache.load("damaged").has_value());
  EXPECT_FALSE(cache.load("b").has_value());
  EXPECT_EQ(cache.remove_damaged(), 0);
  EXPECT_EQ(cache.shrink_to(0), 0);
}

TEST_F(RefusedFiles, WhatCannotBeReadIsMissedListedAndReplaced) {
  for (const Refusal refusal : {Refusal::kUnreadable, Refusal::kBrokenMedium}) {
    DiskCache cache(directory_, kRoomy);
    cache.store(image_of("a"));
    {
      const Refusing refusing(refusal);
      EXPECT_FALSE(cache.load("a").has_value());
      ASSERT_EQ(cache.list().size(), 1U);
      EXPECT_EQ(cache.list()[0].key_text, "");
      cache.store(image_of("a"));
      EXPECT_EQ(files(), 1U);
      EXPECT_EQ(cache.remove_damaged(), 1);
    }
    EXPECT_EQ(files(), 0U);
  }
}

TEST_F(RefusedFiles, ReadsThatAreInterruptedGoOn) {
  DiskCache cache(directory_, kRoomy);
  cache.store(image_of("a"));
  const Refusing refusing(Refusal::kSlowReads);
  expect_same(cache.load("a"), image_of("a"));
}

// What is no file at all, under the name of an entry.
TEST_F(RefusedFiles, LinksPipesAndDirectories) {
  DiskCache cache(directory_, kRoomy);
  cache.store(image_of("a"));
  const std::string elsewhere = root_ + "/elsewhere";
  fs::rename(path_of("a"), elsewhere);
  fs::create_symlink(elsewhere, path_of("a"));
  EXPECT_FALSE(cache.load("a").has_value());
  cache.store(image_of("a"));
  expect_same(cache.load("a"), image_of("a"));
  EXPECT_TRUE(fs::exists(elsewhere)) << "what a link names is not ours";
  fs::remove(path_of("a"));
  ASSERT_EQ(::mkfifo(path_of("a").c_str(), 0600), 0);
  EXPECT_FALSE(cache.load("a").has_value()) << "nobody writes to it";
  EXPECT_EQ(cache.remove_damaged(), 1);
  fs::create_directory(path_of("a"));
  EXPECT_FALSE(cache.load("a").has_value());
  cache.store(image_of("a"));
  EXPECT_FALSE(cache.load("a").has_value());
  EXPECT_EQ(files(), 1U) << "nor does a temporary file stay beside it";
}

TEST_F(RefusedFiles, TheDirectoryGoesAndComesBack) {
  DiskCache cache(directory_, kRoomy);
  cache.store(image_of("a"));
  fs::remove_all(directory_);
  EXPECT_FALSE(cache.load("a").has_value());
  EXPECT_EQ(cache.list().size(), 0U);
  EXPECT_EQ(cache.remove_damaged(), 0);
  cache.store(image_of("a"));
  expect_same(cache.load("a"), image_of("a"));
}

class KilledWriters : public RefusedFiles, public ::testing::WithParamInterface<Refusal> {};

// Writers that are killed at random moments, entries damaged and deleted underneath: what is found is right. Where unnamed
// files are missing each writer may leave one temporary file, until it is old.
TEST_P(KilledWriters, LeaveNoWrongEntry) {
  constexpr std::size_t kRounds = 50, kWriters = 4, kKeys = 6;
  constexpr unsigned kSeed = 7;
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  DiskCache cache(directory_, kRoomy);
  fs::create_directory(directory_);
  fs::permissions(directory_, fs::perms::owner_all);
  std::size_t found = 0;
  const auto key_of = [](std::size_t i) { return "key " + std::to_string(i % kKeys); };
  for (std::size_t round = 0; round < kRounds; ++round) {
    pid_t writers[kWriters];
    for (pid_t& writer : writers) {
      writer = ::fork();
      if (writer != 0) continue;
      const Refusing refusing(GetParam());
      for (std::size_t i = 0;; ++i) DiskCache(directory_, kRoomy).store(image_of(key_of(i), 40000));
    }
    ::usleep(random() % 8000);
    for (const auto& entry : fs::directory_iterator(directory_)) {
      std::error_code gone;
      if (random() % 4 == 0) fs::remove(entry.path(), gone);
      if (random() % 4 == 0) fs::resize_file(entry.path(), random() % 30000, gone);
    }
    for (pid_t writer : writers) ::kill(writer, SIGKILL);
    for (pid_t writer : writers) ::waitpid(writer, nullptr, 0);
    for (std::size_t i = 0; i < kKeys; ++i) {
      const auto image = cache.load(key_of(i));
      if (!image) continue;
      ++found;
      expect_same(image, image_of(key_of(i), 40000));
    }
  }
  EXPECT_GT(found, kRounds);
  EXPECT_LE(files(), kKeys + (GetParam() == Refusal::kUnnamedFiles ? kRounds * kWriters : 0));
  age_all();
  cache.remove_damaged();
  for (const auto& entry : fs::directory_iterator(directory_)) EXPECT_EQ(entry.path().extension(), ".kernel");
}

INSTANTIATE_TEST_SUITE_P(FileSystems, KilledWriters, ::testing::Values(Refusal::kNone, Refusal::kUnnamedFiles),
                         [](const auto& refusal) { return refusal.param == Refusal::kNone ? "Unnamed" : "Named"; });

}  // namespace
}  // namespace flexjit::cache
