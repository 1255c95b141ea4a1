// See sample.h. A case is chosen by a hash of the seed, the test and the group of cases, so that no nesting of loops falls in
// step with it.
#include "support/sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

namespace flexjit::test {
namespace {

std::uint64_t setting_of(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoull(text, nullptr, 10);
}

std::uint64_t one_in() { return std::max<std::uint64_t>(setting_of("FLEXJIT_SAMPLE", 1), 1); }

}  // namespace

// FNV-1a of the name from the seed on, and the finalizer of SplitMix64.
std::size_t sampled_place(std::string_view name, std::size_t count) {
  std::uint64_t hash = 0xCBF29CE484222325U ^ setting_of("FLEXJIT_SAMPLE_SEED", 1);
  for (const char letter : name) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001B3U;
  hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9U;
  hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EBU;
  return (hash ^ (hash >> 31)) % count;
}

bool in_sample(std::string_view name) { return sampled_place(name, one_in()) == 0; }

bool is_sampled() { return one_in() > 1; }

bool Sample::next() {
  const std::size_t n = one_in(), place = seen_++;
  const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
  const std::string group = std::string(test.test_suite_name()) + "." + test.name() + "#" + std::to_string(place / n);
  return place % n == sampled_place(group, n);
}

}  // namespace flexjit::test
