// Philox4x32 as the Random123 paper defines it (Salmon et al., SC 2011), word by word, and what dropout makes of it: shares no
// code with the library.
#pragma once

#include <array>
#include <cstdint>

#include "flexjit/spec.h"
#include "support/oracle.h"

namespace flexjit::test {

using PhiloxBlock = std::array<std::uint32_t, 4>;

inline PhiloxBlock philox_block(PhiloxBlock x, std::uint32_t key0, std::uint32_t key1, int rounds) {
  const auto high = [](std::uint64_t product) { return static_cast<std::uint32_t>(product >> 32); };
  for (int i = 0; i < rounds; ++i, key0 += 0x9E3779B9U, key1 += 0xBB67AE85U) {
    const std::uint64_t left = 0xD2511F53ULL * x[0], right = 0xCD9E8D57ULL * x[2];
    x = {high(right) ^ x[1] ^ key0, static_cast<std::uint32_t>(right), high(left) ^ x[3] ^ key1,
         static_cast<std::uint32_t>(left)};
  }
  return x;
}

inline constexpr DropoutGenerator kGenerators[] = {DropoutGenerator::kPhilox, DropoutGenerator::kPhilox4};

struct DropoutOracle {
  double p = 0;
  DropoutGenerator generator = DropoutGenerator::kPhilox;
  std::int32_t seed = 0x1BF58, offset = 0x1D4B49;

  float random(const Position& at) const {
    const auto word = [](std::int32_t value) { return static_cast<std::uint32_t>(value); };
    const bool is_one = generator == DropoutGenerator::kPhilox;
    const PhiloxBlock counter{word(at.q_idx), word(is_one ? at.kv_idx : at.kv_idx / 4), word(at.b), word(at.h)};
    const PhiloxBlock block = philox_block(counter, word(seed), word(offset), 7);
    return static_cast<float>(block[is_one ? 0 : word(at.kv_idx) % 4]) * 0x1p-32F;
  }
  // In the precision of the kernels' floats.
  bool drops(const Position& at) const { return p == 1 || random(at) < static_cast<float>(p); }
  Real operator()(const Position& at) const { return drops(at) ? 0 : 1 / (1 - static_cast<Real>(p)); }
};

}  // namespace flexjit::test
