// Mapped code runs, is never writable and executable at once, and is unmapped with its owner.
#include "cache/code_memory.h"

#include <gtest/gtest.h>

#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>

#include "machine_code.h"

namespace flexjit::cache {
namespace {

using Answer = int (*)();

// The permissions that the kernel lists for the page of `address`, "r-xp"; none when it is not mapped.
std::optional<std::string> permissions_of(const void* address) {
  std::ifstream maps("/proc/self/maps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    char permissions[5] = "";
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s", &begin, &end, permissions) != 3) continue;
    if (wanted >= begin && wanted < end) return permissions;
  }
  return std::nullopt;
}

TEST(CodeMemory, RunsTheBytes) {
  const CodeMemory memory(test::code_that_returns(42));
  EXPECT_EQ(memory.function<Answer>(0)(), 42);
}

TEST(CodeMemory, StartsAtTheOffset) {
  std::vector<std::uint8_t> code = test::code_that_returns(1);
  code.resize(64);
  const std::vector<std::uint8_t> second = test::code_that_returns(2);
  code.insert(code.end(), second.begin(), second.end());
  const CodeMemory memory(code);
  EXPECT_EQ(memory.function<Answer>(0)(), 1);
  EXPECT_EQ(memory.function<Answer>(64)(), 2);
}

TEST(CodeMemory, IsReadAndExecuteOnly) {
  const CodeMemory memory(test::code_that_returns(1));
  EXPECT_EQ(permissions_of(memory.function<const void*>(0)), "r-xp");
}

TEST(CodeMemory, TakesWholePages) {
  EXPECT_EQ(CodeMemory(test::code_that_returns(1)).bytes() % 4096, 0U);
  EXPECT_GE(CodeMemory(std::vector<std::uint8_t>(100'000)).bytes(), 100'000U);
}

TEST(CodeMemory, IsUnmappedWithItsLastOwner) {
  const void* address = nullptr;
  {
    CodeMemory first(test::code_that_returns(7));
    address = first.function<const void*>(0);
    const CodeMemory second = std::move(first);
    EXPECT_EQ(second.function<Answer>(0)(), 7);
    EXPECT_TRUE(permissions_of(address).has_value());
  }
  EXPECT_EQ(permissions_of(address), std::nullopt);
}

}  // namespace
}  // namespace flexjit::cache
