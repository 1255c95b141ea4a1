// Numbers of a variant's options into findings about those that are out of range, into counts of elements and specs of texts.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "diagnostics/report.h"
#include "flexjit/spec.h"

namespace flexjit::variants {

// Both ends are allowed.
struct Range {
  std::int64_t least = 1, most = INT32_MAX;
};

inline void check_range(engine::Report& report, std::string_view name, std::int64_t value, Range range) {
  if (value < range.least || value > range.most)
    report.add(engine::Finding::kBadOption, name, value, fmt::format("give {} to {}", range.least, range.most));
}

// A text for rows of one head dim.
inline AttentionSpec spec_of(std::string program, const char* name, std::int32_t head_dim) {
  AttentionSpec spec;
  spec.program = std::move(program);
  spec.program_name = name;
  spec.head_dim = head_dim;
  return spec;
}

// Elements of a tensor of these extents, none below 0. Throws std::bad_alloc where no memory has as many.
inline std::size_t count_of(std::initializer_list<std::int64_t> extents) {
  std::size_t count = sizeof(double);  // the largest element
  for (const std::int64_t extent : extents) {
    if (__builtin_mul_overflow(count, static_cast<std::size_t>(extent), &count)) throw std::bad_alloc();
  }
  return count / sizeof(double);
}

}  // namespace flexjit::variants
