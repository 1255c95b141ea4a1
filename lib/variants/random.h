// A seed into the numbers that weights are drawn from, the same on every machine: Philox words, and Box and Muller's transform
// of them.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

#include "support/philox.h"

namespace flexjit::variants {

class RandomNumbers {
 public:
  explicit RandomNumbers(std::uint64_t seed) : key_{word(seed), word(seed >> 32U), 0, 0} {}

  double normal() {
    if (at_ == 2) refill();
    return pair_[at_++];
  }
  std::vector<float> normals(std::size_t count) {
    std::vector<float> numbers(count);
    for (float& x : numbers) x = static_cast<float>(normal());
    return numbers;
  }
  // Between -bound and bound.
  std::vector<float> uniform(std::size_t count, double bound) {
    std::vector<float> numbers(count);
    for (float& x : numbers) x = static_cast<float>(bound * (2 * unit(next_words()[0]) - 1));
    return numbers;
  }

 private:
  static std::uint32_t word(std::uint64_t bits) { return static_cast<std::uint32_t>(bits); }
  static double unit(std::uint32_t bits) { return (static_cast<double>(bits) + 0.5) * 0x1p-32; }

  support::PhiloxWords next_words() {
    const support::PhiloxWords words = support::philox({word(count_), word(count_ >> 32U), 0, 0}, key_);
    ++count_;
    return words;
  }

  void refill() {
    const support::PhiloxWords words = next_words();
    const double radius = std::sqrt(-2 * std::log(unit(words[0]))), angle = 2 * std::numbers::pi * unit(words[1]);
    pair_[0] = radius * std::cos(angle);
    pair_[1] = radius * std::sin(angle);
    at_ = 0;
  }

  support::PhiloxWords key_;
  std::uint64_t count_ = 0;
  double pair_[2]{};
  std::size_t at_ = 2;
};

}  // namespace flexjit::variants
