// A counter and a key -> four words that look random: Philox4x32 of seven rounds (Salmon et al., "Parallel random numbers: as
// easy as 1, 2, 3", SC 2011), which passes every test of BigCrush. Each position has its numbers without those before it.
#pragma once

#include <array>
#include <cstdint>

namespace flexjit::ir {

using Words = std::array<std::uint32_t, 4>;

// Multipliers, what the key grows by from round to round, and how many rounds there are: kernels compute with them too.
struct Philox {
  static constexpr std::uint32_t kMultiplier[2] = {0xD2511F53, 0xCD9E8D57};
  static constexpr std::uint32_t kKeyStep[2] = {0x9E3779B9, 0xBB67AE85};
  static constexpr std::uint32_t kRounds = 7;
};

// `key`: words 0 and 1.
constexpr Words philox(Words counter, const Words& key) {
  for (std::uint32_t round = 0; round < Philox::kRounds; ++round) {
    const std::uint64_t a = std::uint64_t{Philox::kMultiplier[0]} * counter[0];
    const std::uint64_t b = std::uint64_t{Philox::kMultiplier[1]} * counter[2];
    const std::uint32_t key0 = key[0] + round * Philox::kKeyStep[0], key1 = key[1] + round * Philox::kKeyStep[1];
    counter = {static_cast<std::uint32_t>(b >> 32U) ^ counter[1] ^ key0, static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32U) ^ counter[3] ^ key1, static_cast<std::uint32_t>(a)};
  }
  return counter;
}

}  // namespace flexjit::ir
