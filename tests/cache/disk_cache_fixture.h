// A disk cache in a folder of its own, and kernels of arbitrary bytes to put there.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "cache/disk_cache.h"
#include "cache/disk_entry.h"

namespace flexjit::cache {

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

inline plan::CodeImage image_of(const std::string& key, std::size_t size = 300) {
  plan::CodeImage image;
  std::mt19937 random(static_cast<unsigned>(std::hash<std::string>{}(key)));
  for (std::size_t i = 0; i < size; ++i) image.bytes.push_back(static_cast<std::uint8_t>(random()));
  image.entries[plan::Entry::kAttend] = 16, image.entries[plan::Entry::kPack] = 32;
  image.key_text = key;
  return image;
}

inline void expect_same(const std::optional<plan::CodeImage>& found, const plan::CodeImage& stored) {
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->bytes, stored.bytes);
  EXPECT_EQ(found->key_text, stored.key_text);
  EXPECT_EQ(found->entries, stored.entries);
}

inline std::vector<std::uint8_t> bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_bytes(const std::string& path, const std::vector<std::uint8_t>& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace flexjit::cache
