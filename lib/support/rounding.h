// Counts and sizes up to whole multiples. Neither value is negative.
#pragma once

#include <cstdint>

namespace flexjit::support {

constexpr std::int64_t divide_up(std::int64_t value, std::int64_t divisor) { return (value + divisor - 1) / divisor; }
constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) { return divide_up(value, multiple) * multiple; }

}  // namespace flexjit::support
