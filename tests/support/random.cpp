// See random.h.
#include "support/random.h"

#include <cmath>
#include <numbers>

namespace flexjit::test {

std::int32_t Random::integer(std::int32_t lo, std::int32_t hi) {
  auto count = static_cast<std::uint64_t>(static_cast<std::int64_t>(hi) - lo + 1);
  return static_cast<std::int32_t>(lo + static_cast<std::int64_t>(engine_() % count));
}

double Random::unit() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

float Random::normal() {
  double radius = std::sqrt(-2.0 * std::log(1.0 - unit()));
  return static_cast<float>(radius * std::cos(2.0 * std::numbers::pi * unit()));
}

std::vector<float> Random::normals(std::size_t count, float deviation) {
  std::vector<float> values(count);
  for (float& value : values) value = deviation * normal();
  return values;
}

std::vector<std::int32_t> Random::integers(std::size_t count, std::int32_t lo, std::int32_t hi) {
  std::vector<std::int32_t> values(count);
  for (std::int32_t& value : values) value = integer(lo, hi);
  return values;
}

}  // namespace flexjit::test
