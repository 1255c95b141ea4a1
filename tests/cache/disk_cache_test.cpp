// The disk cache in what it promises: entries as they were stored or not at all, foreign owners and modes, capacity. What the
// system refuses is in refused_files_test.cpp.
#include "cache/disk_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "cache/disk_entry.h"
#include "disk_cache_fixture.h"
#include "support/checklist.h"

namespace flexjit::cache {
namespace {

TEST_F(DiskCacheTest, GivesBackWhatWasStored) {
  covers("D54");
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

// Every other value of every byte of a small entry, every bit of one as large as a kernel, every length.
TEST(DiskEntryBytes, AnyDamageIsFound) {
  std::vector<std::uint8_t> small = to_entry(image_of("key", 60));
  ASSERT_TRUE(from_entry(small).has_value());
  for (std::uint8_t& byte : small) {
    const std::uint8_t good = byte;
    for (int change = 1; change < 256; ++change) {
      byte = static_cast<std::uint8_t>(good ^ change);
      ASSERT_FALSE(from_entry(small).has_value()) << "byte " << &byte - small.data() << " as " << int{byte};
    }
    byte = good;
  }
  std::vector<std::uint8_t> large = to_entry(image_of("key", 16000));
  for (std::uint8_t& byte : large) {
    for (int bit = 0; bit < 8; ++bit) {
      byte ^= static_cast<std::uint8_t>(1 << bit);
      ASSERT_FALSE(from_entry(large).has_value()) << "byte " << &byte - large.data() << ", bit " << bit;
      byte ^= static_cast<std::uint8_t>(1 << bit);
    }
  }
  for (std::size_t length = 0; length < large.size(); ++length) {
    ASSERT_FALSE(from_entry(std::span(large).first(length)).has_value()) << length;
  }
  ASSERT_TRUE(from_entry(large).has_value());
  large.push_back(0);
  EXPECT_FALSE(from_entry(large).has_value());
}

TEST_F(DiskCacheTest, DamagedFilesAreMissesAndGo) {
  DiskCache cache(directory_, kRoomy);
  cache.store(image_of("key", 200));
  const std::vector<std::uint8_t> good = bytes_of(path_of("key"));
  ASSERT_GT(good.size(), 200U);
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const int change : {0x01, 0x80, 0xff}) {
      std::vector<std::uint8_t> bad = good;
      bad[i] ^= static_cast<std::uint8_t>(change);
      write_bytes(path_of("key"), bad);
      EXPECT_FALSE(cache.load("key").has_value()) << "byte " << i;
      EXPECT_FALSE(fs::exists(path_of("key"))) << "a damaged entry goes";
    }
    write_bytes(path_of("key"), {good.begin(), good.begin() + static_cast<std::ptrdiff_t>(i)});
    EXPECT_FALSE(cache.load("key").has_value()) << "cut at " << i;
    EXPECT_FALSE(fs::exists(path_of("key")));
  }
  write_bytes(path_of("key"), good);
  expect_same(cache.load("key"), image_of("key", 200));
}

TEST_F(DiskCacheTest, ComparesTheWholeKey) {
  covers("D54");
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

TEST_F(DiskCacheTest, FollowsALinkOfItsOwner) {
  const std::string target = directory_ + "-target";
  fs::create_directory(target);
  ::chmod(target.c_str(), 0700);
  fs::create_directory_symlink(target, directory_);
  DiskCache cache(directory_, kRoomy);
  EXPECT_EQ(cache.problem(), "");
  cache.store(image_of("a"));
  EXPECT_TRUE(cache.load("a").has_value());
  EXPECT_FALSE(fs::is_empty(target));
  if (::geteuid() == 0) {
    ASSERT_EQ(::lchown(directory_.c_str(), 12345, 12345), 0);
    EXPECT_NE(cache.problem().find("a link of user 12345"), std::string::npos);
  }
  fs::remove(directory_);
  fs::remove_all(target);
  fs::create_directory_symlink(target, directory_);
  EXPECT_NE(cache.problem(), "") << "it leads nowhere";
  fs::remove(directory_);
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

}  // namespace
}  // namespace flexjit::cache
