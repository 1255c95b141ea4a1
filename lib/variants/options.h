// Numbers of a variant's options into findings about those that are out of range, and into counts of elements.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "diagnostics/report.h"

namespace flexjit::variants {

// Both ends are allowed.
struct Range {
  std::int64_t least = 1, most = INT32_MAX;
};

inline void check_range(engine::Report& report, std::string_view name, std::int64_t value, Range range) {
  if (value < range.least || value > range.most)
    report.add(engine::Finding::kBadOption, name, value, fmt::format("give {} to {}", range.least, range.most));
}

inline std::size_t count_of(std::int64_t rows, std::int64_t columns) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
}

}  // namespace flexjit::variants
