// The disk cache against everything that happens to files: damage at every byte, deletion, foreign owners and modes, full
// capacity, writers that are killed.
#include "cache/disk_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "cache/disk_entry.h"

namespace flexjit::cache {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kRoomy = std::int64_t{64} << 20;

class DiskCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "flexjit-cache-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    directory_ = root_ + "/kernels";
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string path_of(const std::string& key) const { return directory_ + "/" + file_of(key); }

  std::string root_, directory_;
};

plan::CodeImage image_of(const std::string& key, std::size_t size = 300) {
  plan::CodeImage image;
  std::mt19937 random(static_cast<unsigned>(std::hash<std::string>{}(key)));
  for (std::size_t i = 0; i < size; ++i) image.bytes.push_back(static_cast<std::uint8_t>(random()));
  image.attend_offset = 16, image.pack_offset = 32;
  image.key_text = key;
  return image;
}

void expect_same(const std::optional<plan::CodeImage>& found, const plan::CodeImage& stored) {
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->bytes, stored.bytes);
  EXPECT_EQ(found->key_text, stored.key_text);
  EXPECT_EQ(found->attend_offset, stored.attend_offset);
  EXPECT_EQ(found->pack_offset, stored.pack_offset);
  EXPECT_EQ(found->decode_offset, stored.decode_offset);
}

std::vector<std::uint8_t> read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const std::string& path, const std::vector<std::uint8_t>& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

TEST_F(DiskCacheTest, GivesBackWhatWasStored) {
  DiskCache cache(directory_, kRoomy);
  EXPECT_FALSE(cache.load("a").has_value());
  EXPECT_FALSE(fs::exists(directory_)) << "looking makes nothing";
  cache.store(image_of("a"));
  cache.store(image_of("b", 5000));
  expect_same(cache.load("a"), image_of("a"));
  expect_same(DiskCache(directory_, kRoomy).load("b"), image_of("b", 5000));
  EXPECT_FALSE(cache.load("c").has_value());
  struct stat status{};
  ASSERT_EQ(::stat(directory_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700U);
  EXPECT_EQ(cache.list().size(), 2U);
}

TEST_F(DiskCacheTest, FindsEveryDamagedByteAndEveryCut) {
  DiskCache cache(directory_, kRoomy);
  cache.store(image_of("key", 200));
  const std::vector<std::uint8_t> good = read(path_of("key"));
  ASSERT_GT(good.size(), 200U);
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const bool cut : {false, true}) {
      std::vector<std::uint8_t> bad = good;
      if (cut)
        bad.resize(i);
      else
        bad[i] ^= 1;
      write(path_of("key"), bad);
      EXPECT_FALSE(cache.load("key").has_value()) << "byte " << i;
      EXPECT_FALSE(fs::exists(path_of("key"))) << "a damaged entry goes";
    }
  }
  write(path_of("key"), good);
  expect_same(cache.load("key"), image_of("key", 200));
}

TEST_F(DiskCacheTest, ComparesTheWholeKey) {
  DiskCache cache(directory_, kRoomy);
  cache.store(image_of("one"));
  fs::rename(path_of("one"), path_of("other"));  // as if their hashes were equal
  EXPECT_FALSE(cache.load("other").has_value());
  EXPECT_EQ(cache.remove_damaged(), 1) << "it lies under a wrong name";
}

TEST_F(DiskCacheTest, RefusesForeignDirectories) {
  fs::create_directory(directory_);
  ::chmod(directory_.c_str(), 0777);
  DiskCache open_to_all(directory_, kRoomy);
  EXPECT_NE(open_to_all.problem().find("others may write"), std::string::npos);
  open_to_all.store(image_of("a"));
  EXPECT_TRUE(fs::is_empty(directory_));
  ::chmod(directory_.c_str(), 0700);
  EXPECT_EQ(open_to_all.problem(), "");
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(directory_.c_str(), 12345, 12345), 0);
    EXPECT_NE(open_to_all.problem().find("belongs to user 12345"), std::string::npos);
    EXPECT_FALSE(open_to_all.load("a").has_value());
  }
  EXPECT_NE(DiskCache("/dev/null", kRoomy).problem(), "");
  EXPECT_NE(DiskCache("", kRoomy).problem(), "");
  DiskCache("/proc/nowhere/flexjit", kRoomy).store(image_of("a"));  // cannot be made: nothing happens
}

TEST_F(DiskCacheTest, LinksAndOddFilesAreMisses) {
  DiskCache cache(directory_, kRoomy);
  cache.store(image_of("a"));
  const std::string elsewhere = root_ + "/elsewhere";
  fs::rename(path_of("a"), elsewhere);
  fs::create_symlink(elsewhere, path_of("a"));
  EXPECT_FALSE(cache.load("a").has_value());
  fs::remove(path_of("a"));
  fs::create_directory(path_of("a"));
  EXPECT_FALSE(cache.load("a").has_value());
  cache.store(image_of("a"));
  EXPECT_FALSE(cache.load("a").has_value());
}

TEST_F(DiskCacheTest, ForgetsWhatWasNotUsedForLongest) {
  DiskCache cache(directory_, kRoomy);
  for (int i = 0; i < 10; ++i) {
    const std::string key = "key " + std::to_string(i);
    cache.store(image_of(key, 1000));
    const timespec times[2] = {{.tv_sec = 1000 + i, .tv_nsec = 0}, {.tv_sec = 1000 + i, .tv_nsec = 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, path_of(key).c_str(), times, 0), 0);
  }
  expect_same(cache.load("key 0"), image_of("key 0", 1000));  // renews it
  DiskCache small(directory_, 3500);
  small.store(image_of("new", 1000));
  EXPECT_TRUE(small.load("new").has_value());
  EXPECT_TRUE(small.load("key 0").has_value());
  EXPECT_FALSE(small.load("key 1").has_value());
  EXPECT_LE(small.list().size(), 3U);
}

// Writers that are killed at random moments, entries damaged and deleted underneath: what is found is right, and nothing is
// left.
TEST_F(DiskCacheTest, SurvivesKilledWritersAndDamage) {
  constexpr int kRounds = 50, kWriters = 4, kKeys = 6;
  std::mt19937 random(7);
  DiskCache cache(directory_, kRoomy);
  int found = 0;
  for (int round = 0; round < kRounds; ++round) {
    pid_t writers[kWriters];
    for (pid_t& writer : writers) {
      writer = ::fork();
      if (writer != 0) continue;
      for (int i = 0;; ++i) DiskCache(directory_, kRoomy).store(image_of("key " + std::to_string(i % kKeys), 40000));
    }
    ::usleep(random() % 8000);
    for (const auto& entry : fs::directory_iterator(fs::exists(directory_) ? directory_ : root_)) {
      std::error_code gone;
      if (random() % 4 == 0) fs::remove(entry.path(), gone);
      if (random() % 4 == 0) {
        std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(random() % 30000));
        file.put('x');
      }
    }
    for (pid_t writer : writers) ::kill(writer, SIGKILL);
    for (pid_t writer : writers) ::waitpid(writer, nullptr, 0);
    for (int i = 0; i < kKeys; ++i) {
      const std::string key = "key " + std::to_string(i);
      if (const auto image = cache.load(key)) {
        ++found;
        expect_same(image, image_of(key, 40000));
      }
    }
  }
  EXPECT_GT(found, kRounds);
  for (const auto& entry : fs::directory_iterator(directory_))
    EXPECT_TRUE(entry.path().extension() == ".kernel") << entry.path();
}

}  // namespace
}  // namespace flexjit::cache
