// Numbers of a variant's options into findings about those that are out of range.
#pragma once

#include <fmt/format.h>

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

}  // namespace flexjit::variants
