// Libraries that cannot be used: damaged, of another version, or without code for this machine. Each is a bundle given to
// libflexjit as a built library would give it.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string_view>

#include "flexjit/c_api.h"

namespace flexjit::aot_test {
namespace {

// Cut out of a library's file, so that this shares no code with what wrote it.
std::vector<char> bundle_of(const std::string& target) {
  std::ifstream in(std::string(FLEXJIT_AOT_LIBRARIES "/") + target + ".o", std::ios::binary);
  std::vector<char> file{std::istreambuf_iterator<char>(in), {}};
  constexpr std::string_view kMagic = "FLEXBULT";
  const auto begin = std::ranges::search(file, kMagic).begin();
  return {begin, file.end()};
}

struct Outcome {
  flexjit_status status;
  std::string kind, message;
};

Outcome load(const std::vector<char>& bytes, std::size_t size, std::uint32_t version = FLEXJIT_BUILT_VERSION) {
  flexjit_built built = {version, 0, "0.0.9", bytes.data(), size, nullptr};
  flexjit_attention* attention = nullptr;
  flexjit_error* error = nullptr;
  const flexjit_status status = flexjit_built_attention(&built, &attention, &error);
  EXPECT_EQ(attention == nullptr, status != FLEXJIT_OK);
  Outcome outcome{status, status != FLEXJIT_OK ? flexjit_error_kind(error, 0) : "",
                  status != FLEXJIT_OK ? flexjit_error_message(error) : ""};
  flexjit_error_free(error);
  flexjit_attention_destroy(attention);
  return outcome;
}

// The bundle's size is in the library's flexjit_built, behind relocations; here it is found as the one length whose checksum
// is right.
std::size_t size_of(const std::vector<char>& bytes) {
  for (std::size_t size = 32; size <= bytes.size(); ++size) {
    if (load(bytes, size).kind != "built-damaged") return size;
  }
  return 0;
}

class DamagedLibrary : public testing::Test {
 protected:
  std::vector<char> bytes_ = bundle_of("here");
  std::size_t size_ = size_of(bytes_);
};

TEST_F(DamagedLibrary, WholeItLoads) {
  ASSERT_GT(size_, 1000U);
  EXPECT_EQ(load(bytes_, size_).status, FLEXJIT_OK);
}

TEST_F(DamagedLibrary, EveryFlippedByteIsFound) {
  constexpr std::size_t kHeader = 32;
  for (std::size_t at = 0; at < size_; at += at < kHeader ? 1 : 37) {
    bytes_[at] ^= 0x10;
    const Outcome outcome = load(bytes_, size_);
    bytes_[at] ^= 0x10;
    ASSERT_EQ(outcome.status, FLEXJIT_FAILED) << at;
    const bool is_version = at >= 8 && at < kHeader && (at < 12 || at >= 16);
    ASSERT_EQ(outcome.kind, is_version ? "built-version" : "built-damaged") << at;
  }
}

TEST_F(DamagedLibrary, EveryCutIsFound) {
  for (std::size_t size = 0; size < size_; size += 61) ASSERT_EQ(load(bytes_, size).kind, "built-damaged") << size;
}

TEST_F(DamagedLibrary, AnotherVersionOfTheStructIsNotRead) {
  const Outcome outcome = load(bytes_, 0, FLEXJIT_BUILT_VERSION + 1);
  EXPECT_EQ(outcome.status, FLEXJIT_FAILED);
  EXPECT_EQ(outcome.kind, "built-version");
  EXPECT_NE(outcome.message.find("built by flexjit 0.0.9"), std::string::npos) << outcome.message;
}

TEST(ForeignLibrary, NamesWhatItHasAndWhatTheMachineIs) {
  const std::vector<char> bytes = bundle_of("foreign");
  const Outcome outcome = load(bytes, size_of(bytes));
  EXPECT_EQ(outcome.status, FLEXJIT_FAILED);
  EXPECT_EQ(outcome.kind, "built-target");
  EXPECT_NE(outcome.message.find("code for aarch64, but this machine executes x86-64"), std::string::npos) << outcome.message;
}

}  // namespace
}  // namespace flexjit::aot_test
