// A seed into the same numbers on every machine and with every standard library, whose own distributions the C++ standard
// leaves open.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace flexjit::test {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::int32_t integer(std::int32_t lo, std::int32_t hi);  // both inclusive
  double unit();                                           // [0, 1)
  float normal();
  bool chance(double probability) { return unit() < probability; }
  std::vector<float> normals(std::size_t count, float deviation = 1.0F);
  std::vector<std::int32_t> integers(std::size_t count, std::int32_t lo, std::int32_t hi);

 private:
  std::mt19937_64 engine_;
};

}  // namespace flexjit::test
